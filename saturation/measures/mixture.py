"""A mixture of softmaxes: a head whose log-probabilities are not bound by the width (Yang et al. 2018, 1711.03953)."""

import torch
from torch import nn


class MixtureOfSoftmaxes(nn.Module):
    """K softmaxes over one head: p = sum_k prior_k(h) softmax(W tanh(L_k h + b_k))."""

    def __init__(self, hidden_size: int, softmaxes: int) -> None:
        super().__init__()
        self.prior = nn.Linear(hidden_size, softmaxes, bias=False)
        self.latent = nn.Linear(hidden_size, softmaxes * hidden_size)

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-priors (n, K) and what each softmax reads, (n, K, hidden_size), from `hidden` (n, hidden_size)."""
        latent = torch.tanh(self.latent(hidden)).view(len(hidden), -1, hidden.shape[1])
        return torch.log_softmax(self.prior(hidden), dim=1), latent

    def log_probabilities(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (n, vocab_size), which are logits of themselves; `weight` is (vocab_size, hidden_size)."""
        priors, latent = self(hidden)
        found = torch.full((len(hidden), len(weight)), -torch.inf, dtype=hidden.dtype, device=hidden.device)
        for k in range(priors.shape[1]):
            component = torch.log_softmax(latent[:, k] @ weight.T, dim=1).add_(priors[:, k, None])
            found = torch.logaddexp(found, component)
        return found
