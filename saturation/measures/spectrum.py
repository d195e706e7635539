"""Singular values of the output head, and the numbers that sum them up.

The head W has shape (vocab_size, hidden_size). Definitions: arXiv 2404.07647, section 4 (normalised spectrum,
singular entropy) and section 5 (W-error); stable rank: Rudelson & Vershynin 2007; effective rank: Roy & Vetterli 2007.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import blas, eigh, eigvalsh_tridiagonal, lapack, qr, svd, svdvals

from saturation.errors import InputError, NotFiniteError

Spectrum = NDArray[np.float64]

# The Gram matrix squares the condition number: a singular value s carries a relative error of about
# eps * (s_1 / s)^2. Up to s_1 / s = 1e4 that stays near 1e-8; beyond it the matrix is factored by QR instead.
GRAM_CONDITION_LIMIT = 1e4
# How far from the identity the products of rows made orthonormal by one Cholesky factor may be for a second to mend it.
NEARLY_ORTHONORMAL = 0.05
ROWS_PER_CHUNK_ON_GPU = 16384
ROWS_PER_CHUNK = 1024  # in float64 at most some MiB, which stay in a processor's cache between its readers


class HeadSpectra(NamedTuple):
    """Singular values of W and of W with its row mean removed, both descending."""

    plain: Spectrum
    centred: Spectrum


class Moments(NamedTuple):
    """The upper triangle of W^T W (hidden_size, hidden_size), and the mean row of W (hidden_size,)."""

    products: NDArray[np.float64]
    mean: Spectrum

    def scale(self) -> float:
        """The sum of all squares, by which the rounding of the products goes."""
        return float(np.trace(self.products))

    def centred(self, vocab_size: int) -> NDArray[np.float64]:
        """The products of W with its row mean removed."""
        return self.products - vocab_size * np.outer(self.mean, self.mean)


def as_matrix(weight: torch.Tensor | NDArray[np.floating]) -> torch.Tensor:
    """The head as a matrix, on the CPU or a CUDA device. Raises InputError for another shape."""
    matrix = torch.as_tensor(weight).detach()
    if matrix.device.type != "cuda":  # others know no float64
        matrix = matrix.cpu()
    if matrix.is_floating_point() and matrix.itemsize == 1:  # torch computes nothing in 8-bit floats
        matrix = matrix.to(torch.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"A head must be a matrix (vocab_size, hidden_size); got the shape {tuple(matrix.shape)}.")
    return matrix


def chunk(matrix: torch.Tensor, start: int, rows: int, shift: Spectrum | None = None) -> NDArray[np.float64]:
    """Rows from `start` on in float64, less `shift` (hidden_size,)."""
    block = in_float64(matrix[start : start + rows].cpu())
    return block if shift is None else block - shift


def in_float64(rows: torch.Tensor, into: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """A matrix on the CPU in float64, in the array given or a new one.

    Not by torch: its threads go on spinning for a while after each conversion, and those of BLAS, which come next, wait
    for a processor meanwhile (a third of the time of `moments` at 512 columns).
    """
    block = np.empty(tuple(rows.shape)) if into is None else into
    if rows.dtype == torch.bfloat16:  # the upper half of a float32; numpy has no name for it
        bits = rows.contiguous().view(torch.int16).numpy().view(np.uint16).astype(np.uint32)
        np.copyto(block, (bits << 16).view(np.float32))
    else:
        np.copyto(block, rows.numpy())
    return block


def moments(matrix: torch.Tensor) -> Moments:
    """Sums over the rows of W and of their products in float64, in one pass over W.

    Raises NotFiniteError for NaN or infinite values, InputError for a matrix of zeros. One buffer holds the rows in
    float64: to convert a matrix of a large vocabulary whole costs more than the arithmetic. Nothing reads W to look for
    NaN: a value that is not finite shows in the sum of squares. A head on a GPU is summed up there.
    """
    found = _sums(matrix) if matrix.device.type == "cpu" else _sums_on_gpu(matrix)
    scale = found.scale()
    if 0 < scale < np.inf:
        return found
    if not torch.isfinite(matrix).all():
        raise NotFiniteError("The head holds NaN or infinite values; this checkpoint cannot be measured.")
    if matrix.any():
        raise InputError("The head's values are too small or too large for their squares to be told in float64.")
    raise InputError("The head is zero everywhere; its spectrum is undefined.")


def _sums(matrix: torch.Tensor) -> Moments:
    hidden_size = matrix.shape[1]
    products, total = np.zeros((hidden_size, hidden_size), order="F"), np.zeros(hidden_size)
    buffer = np.empty((min(ROWS_PER_CHUNK, len(matrix)), hidden_size))
    ones = np.ones(len(buffer))
    for rows in matrix.split(ROWS_PER_CHUNK):
        # The transpose is Fortran-contiguous, so that BLAS reads it without a copy. All by scipy's: numpy's own has
        # threads of its own.
        columns = in_float64(rows, buffer[: len(rows)]).T
        total = blas.dgemv(1.0, columns, ones[: len(rows)], beta=1.0, y=total, overwrite_y=1)
        products = blas.dsyrk(1.0, columns, beta=1.0, c=products, overwrite_c=1)  # half of a full product
    return Moments(products, total / len(matrix))


def _sums_on_gpu(matrix: torch.Tensor) -> Moments:
    hidden_size = matrix.shape[1]
    products = matrix.new_zeros((hidden_size, hidden_size), dtype=torch.float64)
    total = matrix.new_zeros(hidden_size, dtype=torch.float64)
    for rows in matrix.split(ROWS_PER_CHUNK_ON_GPU):
        block = rows.double()
        total += block.sum(dim=0)
        products.addmm_(block.T, block)
    return Moments(np.asfortranarray(products.triu_().cpu().numpy()), total.cpu().numpy() / len(matrix))


def _eigenvalues(found: Moments, vocab_size: int) -> tuple[Spectrum, Spectrum]:
    """Ascending eigenvalues of both matrices of products, W's and the centred one's.

    A reflection that turns the mean row m into the first axis, and a reduction to tridiagonal form, which leaves the
    first axis as it is, serve both: there they differ by V |m|^2 in the first entry of the diagonal alone.
    """
    products = found.products + np.triu(found.products, 1).T
    length = float(np.linalg.norm(found.mean))
    if length > 0:
        mirror = found.mean / length
        mirror[0] += np.copysign(1.0, mirror[0])
        mirror /= np.linalg.norm(mirror)
        image = blas.dsymv(1.0, found.products, mirror)
        image -= (mirror @ image) * mirror
        products -= 2.0 * (np.outer(mirror, image) + np.outer(image, mirror))
    # Without room to work, dsytrd goes row by row: a third slower at 1,024 columns.
    room = int(lapack.dsytrd_lwork(len(products), lower=1)[0])
    _, diagonal, beside, _, info = lapack.dsytrd(products, lower=1, lwork=room, overwrite_a=1)
    if info:
        raise RuntimeError(f"dsytrd refused its argument {-info}")
    less = diagonal.copy()
    less[0] -= vocab_size * length**2
    return tuple(eigvalsh_tridiagonal(values, beside, lapack_driver="sterf") for values in (diagonal, less))


def _roots(eigenvalues: Spectrum, scale: float, count: int) -> Spectrum | None:
    """Singular values of a matrix of products, or None where its rounding would show.

    scale: the largest eigenvalue of W^T W, by which that rounding goes.
    """
    values = eigenvalues[::-1][:count]
    if values[-1] * GRAM_CONDITION_LIMIT**2 < scale:
        return None
    return np.sqrt(values)


def triangle(matrix: torch.Tensor, shift: Spectrum | None = None) -> NDArray[np.float64]:
    """R of a float64 QR factorisation of W less `shift`: W = QR, so that R has W's singular values, to eps * s_1.

    By two Cholesky factorisations where they can do it (Fukaya et al. 2014, "CholeskyQR2"; condition numbers up to some
    1e7). That is products of matrices alone: a fifth of the time of the other, by Householder, at 512 columns, and half
    of it at 1,024.
    """
    factor = _cholesky_qr(matrix, shift)
    return _householder_qr(matrix, shift) if factor is None else factor


def _cholesky_qr(matrix: torch.Tensor, shift: Spectrum | None) -> NDArray[np.float64] | None:
    """R, or None where the rows times the inverse of the first factor are not nearly orthonormal."""
    first, info = lapack.dpotrf(_row_products(matrix, shift, None), lower=0)
    if info:
        return None
    products = _row_products(matrix, shift, first)
    away = np.abs(np.triu(products) - np.eye(len(products))).max()
    if not away <= NEARLY_ORTHONORMAL:  # NaN is not, either
        return None
    second, info = lapack.dpotrf(products, lower=0)
    return None if info else blas.dtrmm(1.0, second, first)


def _row_products(
    matrix: torch.Tensor, shift: Spectrum | None, factor: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """The upper triangle of X^T X, X the rows of W less `shift`, times the inverse of an upper triangular factor."""
    hidden_size = matrix.shape[1]
    products = np.zeros((hidden_size, hidden_size), order="F")
    for start in range(0, len(matrix), ROWS_PER_CHUNK):
        columns = chunk(matrix, start, ROWS_PER_CHUNK, shift).T
        if factor is not None:
            columns = blas.dtrsm(1.0, factor, columns, trans_a=1)
        products = blas.dsyrk(1.0, columns, beta=1.0, c=products, overwrite_c=1)
    return products


def _householder_qr(matrix: torch.Tensor, shift: Spectrum | None) -> NDArray[np.float64]:
    """R by blocks of rows, whatever the condition number."""
    hidden_size = matrix.shape[1]
    rows = max(8192, 4 * hidden_size)
    factor = np.zeros((0, hidden_size))
    for start in range(0, len(matrix), rows):
        stacked = np.vstack([factor, chunk(matrix, start, rows, shift)])
        factor = qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:hidden_size]
    return factor


def _accurate(matrix: torch.Tensor, shift: Spectrum | None) -> Spectrum:
    return svdvals(triangle(matrix, shift), overwrite_a=True, check_finite=False)


def right_vectors(
    matrix: torch.Tensor, products: NDArray[np.float64], scale: float, count: int, shift: Spectrum | None
) -> NDArray[np.float64]:
    """The `count` leading right singular vectors as columns (hidden_size, count), largest first.

    products: upper triangle of the Gram matrix of `matrix` less `shift`; scale: the trace that its rounding goes by.
    Where that rounding would show in the smallest of these vectors, they come from a QR factorisation instead.
    """
    hidden_size = len(products)
    span = (hidden_size - count, hidden_size - 1)
    values, vectors = eigh(products, lower=False, subset_by_index=span, check_finite=False)
    if values[0] * GRAM_CONDITION_LIMIT**2 >= scale:
        return vectors[:, ::-1]
    factor = triangle(matrix, shift)
    return svd(factor, full_matrices=False, overwrite_a=True, check_finite=False)[2][:count].T


def head_spectra(weight: torch.Tensor | NDArray[np.floating]) -> HeadSpectra:
    """All singular values of the head, as it is and as the softmax sees it, from one pass over its rows.

    Softmax ignores a shift common to all logits, so (I - 11^T / V) W gives the same probabilities as W.
    weight: tensor of shape (vocab_size, hidden_size), any float dtype.
    Returns two float64 arrays of min(vocab_size, hidden_size) values, descending.
    Raises InputError for a wrong shape or a zero matrix, NotFiniteError for NaN or infinite values.
    """
    matrix = as_matrix(weight)
    vocab_size, hidden_size = matrix.shape
    count = min(vocab_size, hidden_size)
    found = moments(matrix)
    both = _eigenvalues(found, vocab_size)
    plain, centred = (_roots(values, both[0][-1], count) for values in both)
    return HeadSpectra(
        plain=_accurate(matrix, None) if plain is None else plain,
        centred=_accurate(matrix, found.mean) if centred is None else centred,
    )


def singular_values(weight: torch.Tensor | NDArray[np.floating], centred: bool = False) -> Spectrum:
    """All singular values of a head of shape (vocab_size, hidden_size): float64, in descending order.

    centred: remove the mean over the vocabulary first (what the softmax can see). Errors as in `head_spectra`.
    """
    spectra = head_spectra(weight)
    return spectra.centred if centred else spectra.plain


def _shares(values: Spectrum) -> Spectrum:
    values = np.asarray(values, dtype=np.float64)
    total = values.sum()
    if not np.isfinite(total) or total <= 0 or (values < 0).any():
        raise InputError("A spectrum needs finite singular values of which at least one is above zero.")
    return values / total


def singular_entropy(values: Spectrum) -> float:
    """KL(p || uniform) in nats with p = s / sum(s): 0 when all are equal, log(n) when one is left."""
    shares = _shares(values)
    positive = shares[shares > 0]
    return max(0.0, float(np.log(len(shares)) + (positive * np.log(positive)).sum()))


def effective_rank(values: Spectrum) -> float:
    """exp of the entropy of p = s / sum(s): from 1 to the number of singular values."""
    return float(len(values) * np.exp(-singular_entropy(values)))


def stable_rank(values: Spectrum) -> float:
    """||W||_F^2 / s_1^2: from 1 to the number of singular values."""
    _shares(values)
    return float(np.square(values / np.max(values)).sum())


def top_share(values: Spectrum) -> float:
    """s_1 / sum(s): from 1 / n to 1."""
    return float(_shares(values).max())


def condition_number(values: Spectrum) -> float:
    """s_1 / s_n; infinite for a head of lower rank."""
    _shares(values)
    smallest = float(np.min(values))
    return float(np.max(values)) / smallest if smallest > 0 else float("inf")


def summary(spectra: HeadSpectra) -> dict[str, float]:
    """The numbers that sum up both spectra, by name; those of the centred one begin with `centred_`."""
    found: dict[str, float] = {}
    for prefix, values in (("", spectra.plain), ("centred_", spectra.centred)):
        found |= {
            f"{prefix}singular_entropy": singular_entropy(values),
            f"{prefix}effective_rank": effective_rank(values),
            f"{prefix}stable_rank": stable_rank(values),
            f"{prefix}top_share": top_share(values),
            f"{prefix}condition_number": condition_number(values),
        }
    return found


def w_error(values: Spectrum) -> Spectrum:
    """||s_{d+1:}||_2 / ||s||_2 for d = 0 ... n: the least relative Frobenius error of a rank-d matrix.

    Eckart-Young-Mirsky. Returns n + 1 values, from 1 (rank 0) to 0 (full rank).
    """
    _shares(values)
    squares = np.square(np.sort(np.asarray(values, dtype=np.float64)))
    tails = np.concatenate([[0.0], np.cumsum(squares)])[::-1]
    return np.sqrt(tails / tails[0])
