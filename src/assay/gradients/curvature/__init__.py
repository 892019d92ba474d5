"""Curvature of the loss, EK-FAC, K-FAC or diagonal, measured with labels drawn from the model itself."""

from assay.gradients.curvature.covariances import Covariances
from assay.gradients.curvature.curvature import DAMPING, Curvature, curvature
from assay.gradients.curvature.eigen import Basis, eigenbases
from assay.gradients.curvature.fit import fit, observe, passes
from assay.gradients.curvature.layout import Kind, Layout, layout
from assay.gradients.curvature.moments import Moments
from assay.gradients.curvature.store import load_curvature, load_tensors, save_curvature, save_tensors

__all__ = [
    "DAMPING",
    "Basis",
    "Covariances",
    "Curvature",
    "Kind",
    "Layout",
    "Moments",
    "curvature",
    "eigenbases",
    "fit",
    "layout",
    "load_curvature",
    "load_tensors",
    "observe",
    "passes",
    "save_curvature",
    "save_tensors",
]
