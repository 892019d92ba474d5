"""Files and datasets in, examples and tokens out.

`readers.read_examples` reads any format of `formats.FORMATS`, `render.tokenize_all` makes tokens with loss
weights, `batches` puts them side by side. `labels`, `overlap` and `preview` look at examples on the way.
"""
