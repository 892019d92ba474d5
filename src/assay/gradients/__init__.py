"""Per-example gradients of the trained parameters and their exact inner products."""

from assay.gradients.batch import Batch
from assay.gradients.coverage import Coverage, coverage
from assay.gradients.engine import Engine
from assay.gradients.products import Products, passes, products

__all__ = ["Batch", "Coverage", "Engine", "Products", "coverage", "passes", "products"]
