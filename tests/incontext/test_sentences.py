"""Embeddings by a sentence-transformers model, against the model itself; and life without the library."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.errors import ConfigError, ModelError
from assay.incontext.sentences import Sentences

TEXTS = ("add one and two", "a bird", "name a bird and a word and a bird and a word and a bird", "")


def tiny(folder: Path) -> None:
    """A model of two layers over a few words; the library takes the mean over tokens of such a folder."""
    pytest.importorskip("sentence_transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "add", "one", "and", "two", "a", "bird", "name", "word"]
    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=12, **special).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **shape)).save_pretrained(folder)


def test_states_are_what_the_model_gives_for_each_text_alone(tmp_path: Path) -> None:
    tiny(tmp_path)
    from transformers import AutoModel, AutoTokenizer

    sentences = Sentences(str(tmp_path), device="cpu")
    found = sentences.states(TEXTS, batch_size=2)
    assert found.dtype == np.float32
    tokenizer, bert = (
        AutoTokenizer.from_pretrained(tmp_path),
        AutoModel.from_pretrained(tmp_path),
    )
    for text, row in zip(TEXTS, found, strict=True):
        ids = tokenizer(text, truncation=True, max_length=12, return_tensors="pt")
        with torch.no_grad():
            states = bert.eval()(**ids).last_hidden_state[0]
        np.testing.assert_allclose(row, states.mean(dim=0).numpy(), atol=1e-5)
    assert sentences.longest == 12
    assert sentences.cut(TEXTS) == 1


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty"):
        Sentences(str(tmp_path / "empty"), device="cpu")


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'assay\[sentences\]'"):
        Sentences("anything")
