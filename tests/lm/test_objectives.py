"""Supervised fine-tuning on answers: what the loss counts, how candidates are ranked, the challenger, bad input."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import finetune, objectives, registry
from stackelberg_lib.lm.finetune import Recipe

POCKET = registry.resolve("pocket")
NAMES = (" late", " lost and found again", " wrong", " please cancel", " broken")


@pytest.fixture(scope="module")
def texts():
    return sets.load("pocketdesk", 0).train_texts[:24]


@pytest.fixture(scope="module")
def generator():
    """Pocket with an adapter that does something."""
    generator = finetune.lora_generator(POCKET, 4, 0)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in generator.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.05, generator=draw)
    return generator


def likelihoods(generator, prompt, answer):
    """The log-likelihood of each answer token, one sequence alone, from all logits."""
    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        logp = generator(input_ids=ids).logits[0].log_softmax(-1)
    return logp[range(len(prompt) - 1, ids.shape[1] - 1), answer].numpy().astype(float)


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_loss_counts_answer_tokens_only_and_the_challenger(texts, generator, weight):
    answers = objectives.Answers(POCKET, texts, NAMES)
    rows, labels, wrong = np.array([3, 8, 20, 11]), np.array([1, 0, 4, 1]), np.array([0, 1, 1, 2])
    objective = objectives.AnswerObjective(answers, rows, labels, weight, wrong)
    gold = [likelihoods(generator, answers.prompts[i], answers.answers[c]) for i, c in zip(rows, labels, strict=True)]
    other = [likelihoods(generator, answers.prompts[i], answers.answers[c]) for i, c in zip(rows, wrong, strict=True)]
    pairs = [math.log1p(math.exp(o.mean() - g.mean())) for g, o in zip(gold, other, strict=True)]
    expected = -np.concatenate(gold).mean() + weight * np.mean(pairs)
    whole = np.arange(4)
    with torch.no_grad():
        assert float(objective.part(generator, whole, whole)) == pytest.approx(expected, rel=1e-5)
        parts = [float(objective.part(generator, mine, whole)) for mine in (whole[::2], whole[1::2])]
    assert sum(parts) == pytest.approx(expected, rel=1e-5)


def test_without_challenger_the_loss_is_that_of_transformers(texts, generator):
    answers = objectives.Answers(POCKET, texts, NAMES)
    rows, labels = np.arange(6), np.arange(6) % 5
    ids, mask, _ = answers.batch(rows, labels)
    targets = torch.full_like(ids, -100)
    for k, c in enumerate(labels):
        targets[k, -len(answers.answers[c]):] = ids[k, -len(answers.answers[c]):]
    with torch.no_grad():
        theirs = float(generator(input_ids=ids, attention_mask=mask, labels=targets).loss)
        ours = float(objectives.AnswerObjective(answers, rows, labels).part(generator, rows, rows))
    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("size", [1, 15, 512])
def test_scores_are_mean_log_likelihoods_whatever_the_batch(texts, generator, size):
    answers = objectives.Answers(POCKET, texts[:7], NAMES)
    got = objectives.score(generator, answers, size)
    expected = [[likelihoods(generator, p, a).mean() for a in answers.answers] for p in answers.prompts]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_decoding_says_a_candidate_the_greedy_one(texts, generator):
    names = ("late again", "late", "lost", "lost parcel", "wrong")
    answers = objectives.Answers(POCKET, texts[:9], names)
    for prompt, got in zip(answers.prompts, objectives.decode(generator, answers, size=4), strict=True):
        left, said = list(answers.answers), []
        while len(left) > 1:
            allowed = sorted({a[len(said)] for a in left})
            said.append(max(allowed, key=lambda t, so_far=said: likelihoods(generator, prompt, [*so_far, t])[-1]))
            left = [a for a in left if a[:len(said)] == said]
        assert answers.answers[got] == left[0]


@pytest.mark.parametrize("names", [(" parcel late", " card broken", " refund late", " room change", " card lost"),
                                   ("yes", "yes it is", "no", "no it is not", "late", " my")], ids=["labels", "shared"])
def test_a_complete_beam_search_finds_what_scoring_every_candidate_finds(texts, generator, names):
    answers = objectives.Answers(POCKET, texts[:12], names)
    expected = np.array([[likelihoods(generator, p, a).mean() for a in answers.answers] for p in answers.prompts])
    complete = objectives.decode(generator, answers, beams=len(names))
    np.testing.assert_array_equal(complete, expected.argmax(1))
    np.testing.assert_array_equal(complete, objectives.score(generator, answers).argmax(1))
    assert (complete != objectives.decode(generator, answers)).any()  # greedy asks something else


def test_one_token_answers_are_decoded_by_their_first_logit(texts, generator):
    answers = objectives.Answers(POCKET, [t + "\nAnswer:" for t in texts], ["A", "B", "C", "D"])
    assert {len(a) for a in answers.answers} == {2}  # a letter and the end
    with torch.no_grad():
        first = [generator(input_ids=torch.tensor([p])).logits[0, -1].numpy() for p in answers.prompts]
    letters = [a[0] for a in answers.answers]
    np.testing.assert_array_equal(objectives.decode(generator, answers), np.array(first)[:, letters].argmax(1))


def test_bfloat16_weights_say_nearly_the_same(texts):
    answers = objectives.Answers(POCKET, texts, NAMES)
    whole, half = (finetune.lora_generator(POCKET, 4, 0, dtype=dtype) for dtype in ("float32", "bfloat16"))
    kinds = {(p.requires_grad, p.dtype) for p in half.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    exact, rough = (objectives.score(g, answers) for g in (whole, half))
    assert 0 < np.abs(exact - rough).max() < 0.1
    recipe = Recipe(steps=3, batch=8, bf16=True)
    losses = finetune.fit_answers(half, answers, np.arange(8), np.arange(8) % 5, recipe, 0)
    plain = finetune.fit_answers(whole, answers, np.arange(8), np.arange(8) % 5, Recipe(steps=3, batch=8), 0)
    np.testing.assert_allclose(losses, plain, rtol=0.02)
    with pytest.raises(InputError, match="dtype='float8'; use one of float32, bfloat16"):
        finetune.lora_generator(POCKET, 4, 0, dtype="float8")


def test_prompts_that_fit(texts):
    word = " parcel"  # one token
    prompts = [word * n for n in (1, 124, 125, 126, 200)]
    assert objectives.fitting(POCKET, prompts, [" parcel"]).tolist() == [0, 1, 2]
    objectives.Answers(POCKET, prompts[:3], [" parcel"])
    with pytest.raises(InputError):
        objectives.Answers(POCKET, prompts[:4], [" parcel"])


def test_training_teaches_the_answers(texts):
    generator, labels = finetune.lora_generator(POCKET, 8, 0), np.arange(10) % 5
    answers = objectives.Answers(POCKET, [t + "\n>" for t in texts[:10]], NAMES)
    wrong = objectives.hardest_wrong(objectives.score(generator, answers), labels)
    losses = finetune.fit_answers(generator, answers, np.arange(10), labels,
                                  Recipe(steps=40, batch=10, rate=1e-2, challenger_weight=0.3), 0, wrong)
    assert losses[-1] < 0.2 * losses[0]
    assert np.mean(objectives.score(generator, answers).argmax(1) == labels) >= 0.9
    assert np.mean(objectives.decode(generator, answers) == labels) >= 0.8


def test_hardest_wrong():
    scores = np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    assert objectives.hardest_wrong(scores, np.array([0, 1, 0])).tolist() == [2, 0, 1]
    assert scores[0, 0] == 3.0
    with pytest.raises(InputError, match="no wrong one to be the challenger"):
        objectives.hardest_wrong(scores[:, :1], np.zeros(3, int))


@pytest.mark.parametrize("challengers", [None, np.array([1, 3])])
def test_challengers_must_be_there_and_wrong(texts, generator, challengers):
    answers = objectives.Answers(POCKET, texts[:2], NAMES)
    with pytest.raises(InputError, match="needs challengers, one wrong answer per label"):
        finetune.fit_answers(generator, answers, np.arange(2), np.array([0, 3]), Recipe(1, challenger_weight=1), 0,
                             challengers)


@pytest.fixture(scope="module")
def deaf(tmp_path_factory):
    """Pocket with a tokenizer that drops every letter z and has no end token."""
    folder = tmp_path_factory.mktemp("deaf") / "pocket"
    shutil.copytree(POCKET.folder, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "z"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return registry.resolve(str(folder))


@pytest.mark.parametrize(("names", "message"), [
    ([], "answers is empty; give at least one text to choose"),
    (["late", ""], r"answers\[1\]='' is empty; every answer needs words"),
    (["late", " "], r"answers\[1\]=' ' is empty"),
    (["late", "zzz"], r"answers\[1\]='zzz' becomes no token under the tokenizer of pocket; reword it"),
    (["late", "zlate"], "those of '(late|zlate)'"),
    (["late parcel", "late"], "tokens of answer 'late' are those of 'late parcel', or their start"),
])
def test_answers_that_say_nothing(deaf, names, message):
    with pytest.raises(InputError, match=message) as caught:
        objectives.Answers(deaf, ["hello"], names)
    assert "\n" not in str(caught.value)


def test_without_end_token_candidates_are_still_ranked(deaf, generator):
    answers = objectives.Answers(deaf, ["hello there", "my"], ["late", "x", "wrong"])
    got = objectives.score(generator, answers)
    expected = [[likelihoods(generator, p, a).mean() for a in answers.answers] for p in answers.prompts]
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert set(objectives.decode(generator, answers)) <= {0, 1, 2}
    with pytest.raises(InputError, match="beams=3: give 1, or more for a model whose tokenizer has an end token"):
        objectives.decode(generator, answers, beams=3)


def test_a_prompt_does_not_end_before_its_answer(tmp_path):
    """Some tokenizers close every text with the end token; the answer then follows the text, not the end."""
    folder = tmp_path / "pocket"
    shutil.copytree(POCKET.folder, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    closing = tokenizer["post_processor"]
    closing["single"].append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    closing["special_tokens"]["</s>"] = {"id": "</s>", "ids": [2], "tokens": ["</s>"]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    ending, plain = (objectives.Answers(m, ["hello", "my card"], NAMES)
                     for m in (registry.resolve(str(folder)), POCKET))
    assert ending.prompts == plain.prompts and ending.answers == plain.answers
    assert plain.answers[0][-1] == 2 and 2 not in plain.answers[0][:-1]


def test_prompt_beyond_the_context():
    word, answer = " parcel", [" parcel"]  # one token each, and the answer's end token
    full, = objectives.Answers(POCKET, [word * 125], answer).prompts  # with its start token
    assert len(full) + 2 == 128
    with pytest.raises(InputError, match=r"prompts\[1\] has 127 tokens and the longest answer 2; the context of pocket "
                                         r"is 128 tokens: shorten the text") as caught:
        objectives.Answers(POCKET, ["short", word * 126], answer)
    assert "\n" not in str(caught.value)


def test_encoders_write_no_answers():
    encoder = dataclasses.replace(POCKET, kind="encoder", name="minilm")
    with pytest.raises(InputError, match="MODEL=minilm is an encoder and writes no answers"):
        objectives.Answers(encoder, ["x"], ["y"])
    with pytest.raises(InputError, match="MODEL=minilm is an encoder and writes no answers"):
        finetune.lora_generator(encoder, 4, 0)
