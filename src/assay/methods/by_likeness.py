"""Baselines that ask how alike a candidate and a query are, without gradients. They rank; 0 says nothing."""

from dataclasses import replace

from assay.methods.by_gradient import dot
from assay.methods.method import Method

BM25 = Method(
    name="bm25",
    title="BM25",
    formula="Σ_{w in q} idf(w) · saturated count of w in z",
    source="Robertson and Zaragoza 2009, The Probabilistic Relevance Framework: BM25 and Beyond",
    needs="a tokenizer, queries",
    cost="no pass of a model; 2 readings of the pool's tokens",
    good_for="shared rare tokens, in any language; a lexical baseline that gradients have to beat",
    measure="bm25",
    per_query=True,
    checkpoints="none",
    score=dot,
)

RDS = replace(
    BM25,
    name="rds",
    title="RDS+",
    formula="cos(h_z, h_q), h = Σ_t t h_t / Σ_t t over the T last hidden states of an example",
    source="Ivison et al. 2025, arXiv 2503.01807; weights of Muennighoff 2022, arXiv 2202.08904",
    needs="one checkpoint, queries",
    cost="1 forward pass of the pool",
    good_for="data like the queries, for which published comparisons at scale put it first",
    measure="rds",
    checkpoints="last",
)

EMBEDDING = replace(
    RDS,
    name="embedding",
    title="Embedding similarity",
    formula="cos(h_z, h_q), h = mean over t of the last hidden states",
    source="Ivison et al. 2025, arXiv 2503.01807, with plain means",
    good_for="what the weights of RDS+ add",
    measure="embedding",
)

ROWS = (BM25, RDS, EMBEDDING)
