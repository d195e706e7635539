"""The lab's runs: settings, tokenizer, training, and resuming bit for bit."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from saturation.errors import CheckpointError, InputError, NotFiniteError, SaturationError, UnknownNameError
from saturation.lab import Language, RunConfig
from saturation.lab import trainer as trainer_module
from saturation.lab.config import parse_runs
from saturation.lab.models import build_model
from saturation.lab.optimizers import build_optimizer
from saturation.lab.tokenizer import build_tokenizer, save_tokenizer
from saturation.lab.trainer import thin_curve, train, train_run, training_batches
from saturation.measures.head_loss import HeadLoss

LANGUAGE = Language(vocab_size=50, classes=4, rank=8, seed=1)
CONFIG = RunConfig(
    name="tiny",
    hidden_size=8,
    layers=2,
    context_length=8,
    batch=16,
    steps=70,
    warmup=5,
    learning_rate=1e-2,
    extra_steps=(33,),
    corpus=LANGUAGE,
)
CORPUS = "[corpora.c]\nkind = 'language'\n"
STEPS = [0, 1, 2, 4, 8, 16, 32, 33, 64, 70]


class Interrupted(Exception):
    """Stands for a power cut."""


@pytest.fixture(scope="module", autouse=True)
def short_blocks():
    """Blocks and resume points so short that the tiny run crosses several of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "BLOCK_STEPS", 12)
        patch.setattr(trainer_module, "RESUME_EVERY", 25)
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, short_blocks: None) -> Path:
    return train(CONFIG, tmp_path_factory.mktemp("undisturbed"))


def weights(run_folder: Path) -> dict[int, bytes]:
    return {
        int(path.name.removeprefix("step")): (path / "model.safetensors").read_bytes()
        for path in run_folder.glob("step*")
    }


def test_checkpoints_lie_at_the_right_steps_and_nothing_else_is_left(undisturbed: Path) -> None:
    expected = {f"step{step}" for step in STEPS} | {"run.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in undisturbed.iterdir()} == expected
    for step in STEPS:
        names = {path.name for path in (undisturbed / f"step{step}").iterdir()}
        assert names == {"config.json", "model.safetensors"}


def test_pythias_spacing() -> None:
    steps = dataclasses.replace(CONFIG, steps=4000, extra_steps=(1500, 2500)).checkpoint_steps
    assert steps == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1500, 2000, 2500, 3000, 4000)
    assert dataclasses.replace(CONFIG, steps=3, extra_steps=()).checkpoint_steps == (0, 1, 2, 3)


def test_checkpoints_load_in_transformers_and_are_what_was_asked(undisturbed: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(undisturbed / "step70", dtype=torch.float32)
    assert type(model).__name__ == "GPTNeoXForCausalLM"
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (8, 2, 32)
    assert (config.vocab_size, config.max_position_embeddings) == (50, 8)
    assert (config.bos_token_id, config.eos_token_id, config.tie_word_embeddings) == (0, 0, False)
    first = AutoModelForCausalLM.from_pretrained(undisturbed / "step0", dtype=torch.float32)
    for name, tensor in build_model(CONFIG).state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name])
    assert first.get_output_embeddings().weight.std().item() == pytest.approx(0.02, rel=0.15)
    # The saved model predicts what training says: the next batch costs about what the last ones did.
    inputs, targets = next(training_batches(CONFIG, 71))
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(inputs).logits.view(-1, 50), targets.view(-1)).item()
    curve = json.loads((undisturbed / "run.json").read_text())["loss_curve"]
    assert loss == pytest.approx(np.mean([value for _, value in curve[-5:]]), abs=0.2)


def test_loss_falls_from_uniform_towards_the_floor(undisturbed: Path) -> None:
    report = json.loads((undisturbed / "run.json").read_text())
    curve = report["loss_curve"]
    assert report["finished"] is True
    assert report["steps_done"] == curve[-1][0] == 70
    assert curve[0][1] == pytest.approx(math.log(50), abs=0.05)
    unigram_entropy = -float(LANGUAGE.unigram @ np.log(LANGUAGE.unigram))
    last = np.mean([value for step, value in curve if step > 60])
    assert report["window_floor"] < last < unigram_entropy + 0.1
    assert last < curve[0][1] - 0.4


def test_run_json_says_what_was_trained(undisturbed: Path) -> None:
    report = json.loads((undisturbed / "run.json").read_text())
    assert report["run"] == "tiny"
    assert report["corpus"] == {"kind": "language", **dataclasses.asdict(LANGUAGE)}
    assert report["config"]["learning_rate"] == 1e-2
    assert report["config"]["extra_steps"] == [33]
    assert report["tokens_per_step"] == 128
    assert report["entropy_rate"] == LANGUAGE.entropy_rate
    assert report["window_floor"] == LANGUAGE.window_floor(8)
    # Embedding and head are 50 x 8 each. A layer: two norms, then qkv, dense and two feed-forward maps with
    # biases.
    layer = 4 * 8 + (24 * 8 + 24) + (8 * 8 + 8) + (32 * 8 + 32) + (8 * 32 + 8)
    assert report["parameters"] == 2 * 50 * 8 + 2 * layer + 2 * 8
    assert report["versions"]["torch"] == torch.__version__


def test_two_runs_are_equal_bit_for_bit(undisturbed: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(99)  # the caller's random state has no say, and is left as it was
    before = torch.random.get_rng_state()
    again = train(CONFIG, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert weights(again) == weights(undisturbed)


@pytest.mark.parametrize("cut", [1, 24, 25, 33, 64, 69])
def test_a_power_cut_changes_no_bit(undisturbed: Path, tmp_path: Path, cut: int) -> None:
    def progress(step: int, total: int, loss: float) -> None:
        if step == cut:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(CONFIG, tmp_path, progress=progress)
    assert not (tmp_path / "tiny" / "step70").exists()
    # What a cut in the middle of a write leaves behind.
    (tmp_path / "tiny" / ".step70.part").mkdir()
    (tmp_path / "tiny" / ".step70.part" / "model.safetensors").write_bytes(b"half")
    run_folder = train(CONFIG, tmp_path)
    assert weights(run_folder) == weights(undisturbed)
    curves = [json.loads((folder / "run.json").read_text())["loss_curve"] for folder in (run_folder, undisturbed)]
    assert curves[0] == curves[1]
    assert {path.name for path in run_folder.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_stop_at_leaves_a_run_that_goes_on_where_it_stopped(undisturbed: Path, tmp_path: Path) -> None:
    train(CONFIG, tmp_path, stop_at=0)
    assert list(weights(tmp_path / "tiny")) == [0]
    train(CONFIG, tmp_path, stop_at=40)
    report = json.loads((tmp_path / "tiny" / "run.json").read_text())
    assert (report["steps_done"], report["finished"]) == (40, False)
    assert sorted(weights(tmp_path / "tiny")) == [0, 1, 2, 4, 8, 16, 32, 33]
    seen: list[tuple[int, int]] = []
    train(CONFIG, tmp_path, progress=lambda step, total, loss: seen.append((step, total)))
    assert seen == [(step, 70) for step in range(41, 71)]
    assert weights(tmp_path / "tiny") == weights(undisturbed)


def test_a_finished_run_is_left_alone(undisturbed: Path) -> None:
    before = weights(undisturbed)
    seen: list[int] = []
    assert train(CONFIG, undisturbed.parent, progress=lambda step, total, loss: seen.append(step)) == undisturbed
    assert seen == []
    assert weights(undisturbed) == before


def test_another_run_is_not_mixed_in(undisturbed: Path) -> None:
    for other in (
        dataclasses.replace(CONFIG, learning_rate=1e-3),
        dataclasses.replace(CONFIG, corpus=dataclasses.replace(LANGUAGE, seed=2)),
    ):
        with pytest.raises(InputError, match="other settings"):
            train(other, undisturbed.parent)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    train(CONFIG, tmp_path, stop_at=3)
    (tmp_path / "tiny" / "resume.pt").write_bytes(b"not a file of torch")
    with pytest.raises(CheckpointError, match=r"resume\.pt is damaged"):
        train(CONFIG, tmp_path)
    (tmp_path / "tiny" / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"run\.json is damaged"):
        train(CONFIG, tmp_path)


def test_a_diverging_run_stops_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="lower its learning rate"):
        train(dataclasses.replace(CONFIG, learning_rate=1e6, warmup=0), tmp_path)


def test_head_loss_equals_cross_entropy_and_its_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(12, 5, generator=generator, requires_grad=True)
    weight = torch.randn(7, 5, generator=generator, requires_grad=True)
    targets = torch.randint(0, 7, (12, 1), generator=generator)
    loss = HeadLoss(12, 7)(hidden, weight, targets)
    (3 * loss).backward()
    exact_hidden = hidden.detach().double().requires_grad_()
    exact_weight = weight.detach().double().requires_grad_()
    exact = torch.nn.functional.cross_entropy(exact_hidden @ exact_weight.T, targets[:, 0])
    (3 * exact).backward()
    assert loss.item() == pytest.approx(exact.item(), abs=1e-6)
    torch.testing.assert_close(hidden.grad.double(), exact_hidden.grad, rtol=0, atol=1e-6)
    torch.testing.assert_close(weight.grad.double(), exact_weight.grad, rtol=0, atol=1e-6)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("of_the_head", [None, 3.0])
def test_first_update_is_adamws(of_the_head: float | None, coupled: bool) -> None:
    """The first step moves every weight by the rate, against its gradient's sign, and decays matrices only."""
    config = dataclasses.replace(CONFIG, weight_decay=0.5, head_weight_decay=of_the_head, coupled_adam=coupled)
    model = build_model(config)
    optimizer = build_optimizer(model, config)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.set_rate(config.learning_rate)
    optimizer.step()
    for name, parameter in model.named_parameters():
        decay = (of_the_head if of_the_head and name == "lm_head.weight" else 0.5) if parameter.ndim >= 2 else 0.0
        expected = before[name] * (1 - config.learning_rate * decay) - config.learning_rate
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6)


def test_data_depend_on_the_step_alone_and_are_shared_by_all_widths() -> None:
    stream = training_batches(CONFIG, 1)
    batches = [next(stream) for _ in range(30)]
    wide = training_batches(dataclasses.replace(CONFIG, hidden_size=16, name="wide"), 1)
    for first, second in zip(batches, wide, strict=False):
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
    for step in (2, 12, 13, 25, 30):
        inputs, targets = next(training_batches(CONFIG, step))
        assert torch.equal(inputs, batches[step - 1][0])
        assert torch.equal(targets, batches[step - 1][1])
    inputs, targets = batches[0]
    assert inputs.shape == (16, 8)
    assert torch.equal(targets.view(16, 8)[:, :-1], inputs[:, 1:])
    assert len({inputs.numpy().tobytes() for inputs, _ in batches}) == 30


def test_learning_rate_schedules() -> None:
    constant = dataclasses.replace(CONFIG, warmup=10, steps=110, learning_rate=1.0, schedule="constant")
    assert [constant.learning_rate_at(step) for step in (1, 5, 10, 60, 110)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    cosine = dataclasses.replace(constant, schedule="cosine")
    assert [cosine.learning_rate_at(step) for step in (1, 10, 60, 110)] == pytest.approx([0.1, 1, 0.55, 0.1])
    stable = dataclasses.replace(constant, schedule="wsd", steps=100)
    assert [stable.learning_rate_at(step) for step in (5, 10, 70, 85, 100)] == pytest.approx([0.5, 1, 1, 0.55, 0.1])


def test_thin_curve_averages_every_loss_once() -> None:
    assert thin_curve([]) == []
    assert thin_curve([3.0, 5.0], points=10) == [[1, 3.0], [2, 5.0]]
    losses = [float(value) for value in range(1, 1001)]
    curve = thin_curve(losses, points=20)
    assert curve[0] == [1, 1.0]
    assert curve[-1][0] == 1000
    assert len(curve) <= 20
    counts = np.diff([0] + [step for step, _ in curve])
    assert sum(count * value for count, (_, value) in zip(counts, curve, strict=True)) == pytest.approx(sum(losses))


def test_tokenizer_round_trips_offline_with_offsets(tmp_path: Path) -> None:
    save_tokenizer(LANGUAGE, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert (len(tokenizer), tokenizer.eos_token, tokenizer.eos_token_id) == (50, ".", 0)
    text = LANGUAGE.text(300, seed=1)
    assert text.count(".") > 10
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert encoded["input_ids"] == LANGUAGE.encode(text).tolist()
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == encoded["input_ids"]
    assert tokenizer.decode(encoded["input_ids"]) == text
    assert [text[start:end] for start, end in encoded["offset_mapping"]] == text.split(" ")


def test_tokenizer_has_no_unknown_token() -> None:
    tokenizer = build_tokenizer(LANGUAGE)
    assert tokenizer.unk_token is None
    with pytest.raises(Exception, match="Missing \\[UNK\\] token"):
        tokenizer("hello")


def test_unknown_run_names_the_close_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no lab run called 'w46'; did you mean .*w64"):
        train_run("w46", tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean w8 or w16"):
        RunConfig.from_name("zzz")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": 6, "heads": 4}, "does not split into 4 heads"),
        ({"hidden_size": 6, "heads": 2}, "heads of an even size"),
        ({"layers": 0}, "layers is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"warmup": -1}, "warmup is -1"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"schedule": "linear"}, "one of constant, cosine, wsd"),
        ({"extra_steps": (71,)}, "between 0 and steps"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(settings: dict, words: str) -> None:
    with pytest.raises(SaturationError, match=words) as caught:
        dataclasses.replace(CONFIG, **settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[runs.a", "cannot be read as TOML"),
        (f"{CORPUS}[runs.a]\ncorpus = 'c'\nhidden_size = 8\nwidth = 3", "run a holds a wrong setting.*width"),
        (f"{CORPUS}[runs.a]\ncorpus = 'c'\nlayers = 3", "hidden_size"),
        (f"{CORPUS}rank = 400\n[runs.a]\ncorpus = 'c'\nhidden_size = 8", "rank is 400"),
        (f"{CORPUS}\n[runs.a]\ncorpus = 'd'\nhidden_size = 8", "names the corpus 'd'"),
        (f"{CORPUS}words = 3\n", "no setting 'words'"),
        ("[corpora.c]\nkind = 'letters'\n", "kind of a corpus is 'letters'"),
        ("[corpora.c]\nkind = 'python'\nvocab_size = 100\n", "vocab_size is 100"),
    ],
)
def test_wrong_run_files_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_runs(text)


def test_negative_stop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stop_at is -1"):
        train(CONFIG, tmp_path, stop_at=-1)
