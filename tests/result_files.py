"""Result files as the LM Evaluation Harness writes them, small enough to read: before version 0.4, and by 0.4.13."""

import json
from pathlib import Path
from typing import Any


def old(pretrained: str = "EleutherAI/pythia-v1.1-70m", revision: str | None = "step3000", **changes: Any) -> dict:
    """The format before 0.4."""
    args = f"use_accelerate=True,pretrained={pretrained}" + (f",revision={revision}" if revision else "")
    return {
        "results": {
            "lambada_openai": {"ppl": 142.5, "ppl_stderr": 5.5, "acc": 0.25, "acc_stderr": 0.006},
            "crows_pairs_english": {
                "likelihood_difference": 3.5,
                "pct_stereotype": 0.55,
                "pct_stereotype_stderr": 0.01,
            },
        },
        "versions": {"lambada_openai": 0, "crows_pairs_english": 1},
        "config": {"model": "hf-causal", "model_args": args, "num_fewshot": 0, "limit": None},
    } | changes


def new(pretrained: str = "EleutherAI/pythia-160m", revision: str | None = "step1000", **changes: Any) -> dict:
    """The format of 0.4.13, with a group, filters, a deviation that is none, and counts that are no metrics."""
    args = {"pretrained": pretrained} | ({"revision": revision} if revision else {})
    group = {
        "alias": "arcs",
        "name": "arcs",
        "acc,none": 0.3,
        "acc_stderr,none": 0.01,
        "sample_count": {"acc,none": 99},
    }
    return {
        "results": {
            "wikitext": {
                "name": "wikitext",
                "alias": "wikitext",
                "sample_len": 62,
                "word_perplexity,none": 30.5,
                "word_perplexity_stderr,none": "N/A",
            },
            "gsm8k": {
                "alias": "gsm8k",
                "sample_len": 1319,
                "exact_match,strict-match": 0.02,
                "exact_match_stderr,strict-match": 0.004,
                "exact_match,flexible-extract": 0.03,
                "exact_match_stderr,flexible-extract": 0.005,
            },
            "arcs": group,
        },
        "groups": {"arcs": group},
        "group_subtasks": {"arcs": []},
        "configs": {"gsm8k": {"num_fewshot": 5}},
        "versions": {"wikitext": 2.0, "gsm8k": 3.0, "arcs": "N/A"},
        "n-shot": {"wikitext": 0, "gsm8k": 5},
        "higher_is_better": {"wikitext": {"word_perplexity": False}, "gsm8k": {"exact_match": True}},
        "n-samples": {"wikitext": {"original": 62, "effective": 62}, "gsm8k": {"original": 1319, "effective": 1319}},
        "config": {"model": "hf", "model_args": args, "model_revision": revision or "main", "limit": None},
        "date": 1750000000.5,
        "lm_eval_version": "0.4.13",
        "model_name": pretrained,
        "model_name_sanitized": pretrained.replace("/", "__"),
    } | changes


def write(path: Path, content: dict | str | bytes) -> Path:
    """The file, in its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
