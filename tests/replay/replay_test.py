# SPDX-License-Identifier: Apache-2.0
"""Records steps with the real trainer and replays them; plants faults in a record and has the replay find them.

    python tests/replay/replay_test.py {pairs,grid,faults} --bin build/release/bin --scratch DIR

pairs: a set of steps in which every two values of two settings meet. grid: every three, three times, and larger networks.
With --device cuda the trainer computes on GPUs. Ranks that outnumber them share one: each gets a host name of its own (which
needs root), so that NCCL takes them for ranks of several machines and lets them meet over sockets.
"""
import argparse
import copy
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy
import torch

from faulty_trainer import FAULTS, HIDDEN_IN_FLOAT32, PERHAPS, FaultyTrainer
from recorded_step import RecordedStep
from replay_step import Line, Replay, print_table, replay_of

SPEC = """apiVersion: ferment/v1
name: replay
data:
  fer: {{format: folder, path: {data}/fer, train: train.csv, validation: val.csv}}
  fr: {{format: insightface, path: {data}/fr}}
model: {{backbone: resnet18, width: 8, image_size: 32}}
teacher: {{steps: 4, batch: 16}}
labeling: {{batch: 16, threshold: 0.1, min_accuracy: 0}}
cotrain: {{steps: 5, batch: 8, mu: 2, lr_teacher: 0.02, lr_student: 0.05, warmup_steps: 2, lambda_ramp_steps: 6,
  ema_decay: 0.9, tau: 0.8, threshold: 0.35}}
checkpoint: {{every_steps: 1000}}
resources: {{device: {device}, threads_per_rank: 1}}
"""
OWN_HOST = ["unshare", "--uts", "sh", "-c", 'hostname "rank-$OMPI_COMM_WORLD_RANK" && exec "$@"', "-"]

# setting -> value -> what it says to the trainer; "step" is the command's own, "ranks" is read by settings_of.
FACTORS = {
    "form": {form: [f"cotrain.feedback.form={form}"] for form in ("first_order", "exact", "cosine", "off")},
    "ranks": {ranks: [] for ranks in ("1", "2", "3", "1+1", "2+1", "1+2", "2+2")},
    "batch_norm": {mode: [f"cotrain.batch_norm={mode}"] for mode in ("local", "sync", "frozen")},
    "optimizer": {"plain": ["cotrain.momentum=0", "cotrain.nesterov=false"],
                  "momentum": ["cotrain.momentum=0.9", "cotrain.nesterov=false"],
                  "nesterov": ["cotrain.momentum=0.9", "cotrain.nesterov=true"]},
    "dtype": {dtype: [f"cotrain.dtype={dtype}"] for dtype in ("float64", "float32", "bfloat16")},
    "step": {0: [], 3: []},
    "student": {"learns": [], "waits": ["cotrain.student_wait_steps=5"]},
    "weight_decay": {wd: [f"cotrain.weight_decay={wd}"] for wd in (0.02, 0)},
    "smoothing": {e: [f"cotrain.label_smoothing={e}"] for e in (0.1, 0)},
    "clip": {clip: [f"cotrain.grad_clip={clip}"] for clip in (0, 0.5)},
    "threshold": {rule: [f"cotrain.pseudo_label.threshold_rule={rule}"] for rule in ("fixed", "dynamic")},
    "student_mask": {mask: [f"cotrain.student_mask={mask}"] for mask in ("false", "true")},
    "source": {source: [f"cotrain.pseudo_label.source={source}"] for source in ("online", "offline")},
    "view": {view: [f"cotrain.feedback.view={view}"] for view in ("weak", "strong")},
    "statistics": {kind: [f"cotrain.feedback.statistics={kind}"] for kind in ("running", "batch")},
    "baseline": {on: [f"cotrain.feedback.baseline={on}"] for on in ("true", "false")},
    "feedback": {"from the start": [], "later": ["cotrain.feedback.start_step=4"]},
    "student_init": {init: [f"cotrain.student_init={init}"] for init in ("teacher", "model")},
}
# What each setting must have become in step.json.
EXPECTED = {
    "form": lambda step, value: step["config"]["feedback_form"] == value,
    "ranks": lambda step, value: (step["world_size"], step["placement"]) ==
    (sum(map(int, value.split("+"))), "split" if "+" in value else "colocated"),
    "batch_norm": lambda step, value: step["config"]["batch_norm"] == value,
    "optimizer": lambda step, value: (step["config"]["momentum"] > 0, step["config"]["nesterov"]) ==
    (value != "plain", value == "nesterov"),
    "dtype": lambda step, value: step["dtype"] == value,
    "step": lambda step, value: step["step"] == value,
    "student": lambda step, value: (step["config"]["lr_student"] == 0) == (value == "waits"),
    "weight_decay": lambda step, value: step["config"]["weight_decay"] == value,
    "smoothing": lambda step, value: step["config"]["label_smoothing"] == value,
    "clip": lambda step, value: step["config"]["grad_clip"] == value,
    "threshold": lambda step, value: (step["config"]["threshold_rule"], "thresholds" in step) == (value, value == "dynamic"),
    "student_mask": lambda step, value: step["config"]["student_mask"] == (value == "true"),
    "source": lambda step, value: step["config"]["pseudo_label_source"] == value,
    "view": lambda step, value: step["config"]["feedback_view"] == value,
    "statistics": lambda step, value: step["config"]["feedback_statistics"] == value,
    "baseline": lambda step, value: step["config"]["baseline"] == (value == "true"),
    "feedback": lambda step, value: step["config"]["feedback_start_step"] == (4 if value == "later" else 0),
}
# step -> share of the peak that a learning rate has, and decay of the average, by hand from docs/method.md: step 0 is the
# first of two that warm up, step 3 the second of the cosine's three; (1 + s) / (10 + s) is below the spec's decay.
RATES = {0: (1 / 2, 1 / 10), 3: (3 / 4, 4 / 13)}


# Pairs alone would meet each form on several ranks mostly where h is 0 by rule: these names meet while the rest is so.
AT_WORK = [(("form", "ranks", "batch_norm"), {"dtype": "float64", "student": "learns", "feedback": "from the start"}),
           (("form", "batch_norm"), {"dtype": "float32", "student": "learns", "feedback": "from the start"}),
           (("batch_norm",), {"dtype": "bfloat16", "form": "first_order", "student": "learns", "feedback": "from the start"})]


def combinations_of(names):
    return {tuple(zip(names, values)) for values in itertools.product(*(FACTORS[name] for name in names))}


def cover(strength, seed=1):
    """-> cases in which every `strength` settings meet in every combination of their values, and every form of h works
    under every batch_norm on every number of ranks; greedy, and always the same."""
    generator = random.Random(seed)
    wanted = {meeting + tuple(rest.items()) for names, rest in AT_WORK for meeting in combinations_of(names)}
    wanted |= set().union(*(combinations_of(names) for names in itertools.combinations(FACTORS, strength)))
    cases = []
    while wanted:
        best, best_met = None, set()
        longest = max(map(len, wanted))
        starts = sorted((meeting for meeting in wanted if len(meeting) == longest), key=str)
        for _ in range(40):
            case = dict(generator.choice(starts))
            case = {name: case.get(name, generator.choice(list(FACTORS[name]))) for name in FACTORS}
            met = {meeting for meeting in wanted if set(meeting) <= set(case.items())}
            if len(met) > len(best_met):
                best, best_met = case, met
        cases.append(best)
        wanted -= best_met
    return cases


class Trainer:
    def __init__(self, binaries, scratch, device="cpu"):
        self.binaries, self.scratch, self.device = Path(binaries).resolve(), Path(scratch).resolve(), device
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        self.labelling = Lock()
        data = self.scratch / "data"
        subprocess.run([self.binaries / "ferment", "data", "synth", "--out", data, "--image-size", "32",
                        "--faces-train", "64", "--faces-validation", "16", "--fr-records", "128", "--identities", "16",
                        "--videos-train", "1", "--videos-validation", "1", "--videos-test", "1", "--frames", "16"],
                       check=True, capture_output=True)
        self.spec = self.scratch / "spec.yaml"
        self.spec.write_text(SPEC.format(data=data, device=device))

    def run(self, program, *arguments, ranks=1):
        """-> the finished process."""
        command = ["mpirun", "-np", str(ranks), "--bind-to", "none", "--oversubscribe"] if ranks > 1 else []
        command += OWN_HOST if ranks > 1 and self.device == "cuda" else []
        command += [self.binaries / program, *arguments]
        environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                       "OMPI_MCA_mpi_yield_when_idle": "1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    def succeed(self, *arguments, **options):
        done = self.run(*arguments, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments[0]} left with {done.returncode}:\n{done.stdout}{done.stderr}")

    def train(self, phase, run, settings):
        changes = [text for setting in settings for text in ("--set", setting)]
        return ["ferment-trainer", "--spec", self.spec, "--phase", phase, "--run-dir", run, *changes]

    def labelled(self):
        """-> a run folder with a teacher and its label sets, made once."""
        run = self.scratch / "labelled-run"
        with self.labelling:
            if not run.exists():
                run.mkdir()
                shutil.copy(self.spec, run / "spec.yaml")
                self.succeed(*self.train("teacher", run, []))
                self.succeed("ferment-labeler", "--offline", "--run-dir", run)
        return run

    def record(self, name, ranks, step, settings, after_teacher=False):
        """-> the folder of the recorded step."""
        folder, run = self.scratch / name, self.scratch / f"{name}-run"
        if after_teacher:
            shutil.copytree(self.labelled(), run)
        command = self.train("cotrain", run, settings) + ["--record-step", str(step), "--record-dir", folder]
        self.succeed(*command, *([] if after_teacher else ["--from-init"]), ranks=ranks)
        if not (run / "phases" / "cotrain" / "result.json").exists():
            raise RuntimeError(f"the trainer did not go on after the recorded step: {run}")
        shutil.rmtree(run)
        return folder


def labels_amiss(record, run):
    """-> number of rows whose label is not the accepted one of the run's label sets."""
    accepted = {}
    for file in run.glob("labels/*/*/*/*.npz"):
        shard = numpy.load(file)
        accepted.update({int(k): int(y) for k, y, status in zip(shard["key"], shard["label"], shard["status"])
                         if status == 0})
    return sum(accepted.get(int(k)) != int(y) for k, y in zip(record["batch"]["key"], record["batch"]["y_hat"]))


def settings_of(case):
    settings = [setting for factor, values in FACTORS.items() if factor in case and factor != "ranks"
                for setting in values[case[factor]]]
    if "+" in case["ranks"]:
        settings += ["cotrain.placement=split", f"cotrain.placement_ranks.teacher={case['ranks'].split('+')[0]}"]
    return settings + case.get("also", [])


def record_case(trainer, name, case):
    """-> the folder of the recorded step."""
    after_teacher = case.get("source") == "offline" or "sampling" in case
    return trainer.record(name, sum(map(int, case["ranks"].split("+"))), case["step"], settings_of(case), after_teacher)


def replay_lines(trainer, record):
    lines = Replay(record).run()
    if record.config["pseudo_label_source"] == "offline":
        lines.append(Line("labels of the sets", labels_amiss(record, trainer.labelled()), 0))
    return lines


def settings_lost(record, case):
    """-> the names of what the record does not say as the case wants it."""
    lost = [name for name, holds in EXPECTED.items() if name in case and not holds(record.step, case[name])]
    if case["step"] == 0 and "student_init" in case:
        alike = all(torch.equal(t, record["student_before"][n]) for n, t in record["teacher_before"].items())
        lost += ["student_init"] if alike != (case["student_init"] == "teacher") else []
    share, decay = RATES[case["step"]]
    peaks = {"lr_teacher": 0.02, "lr_student": 0.05}
    told = (text.removeprefix("cotrain.").split("=") for text in settings_of(case))
    peaks.update((key, float(value)) for key, value in told if key in peaks)
    if case.get("student") == "waits":
        peaks["lr_student"] = 0
    expected = {"ema_decay": decay, **{name: share * peak for name, peak in peaks.items()}}
    return lost + [name for name, rate in expected.items() if abs(record.config[name] - rate) > 1e-12]


def replay_case(trainer, number, case):
    """-> (number of lines that fail, text)."""
    folder = record_case(trainer, f"case-{number}", case)
    record = RecordedStep.read(folder)
    lines = replay_lines(trainer, record)
    lost = settings_lost(record, case)
    failed = [line for line in lines if not line.holds]
    closest = max((line.difference / line.allowed, line.name) for line in lines if line.allowed > 0)
    text = f"{number:3} {' '.join(map(str, case.values()))}: closest {closest[1]} at {closest[0]:.2g} of the allowed"
    if failed or lost:
        text += f"\n  FAILED {', '.join(line.name for line in failed)} {lost}, record kept in {folder}"
        print_table(lines)
    else:
        shutil.rmtree(folder)
    return len(failed) + len(lost), text


def run_cases(trainer, cases, jobs, first):
    """-> number of cases in which a line does not hold."""
    began, bad = time.monotonic(), 0
    with ThreadPoolExecutor(jobs) as pool:
        for failed, text in pool.map(lambda numbered: replay_case(trainer, *numbered), list(enumerate(cases))[first:]):
            print(text, flush=True)
            bad += failed > 0
    print(f"{len(cases[first:])} steps replayed, {bad} with a line that does not hold, {time.monotonic() - began:.0f} s")
    return bad


LARGER = [
    {"ranks": ranks, "step": step, "batch_norm": mode, "dtype": dtype, "form": form,
     "also": ["model.backbone=resnet50", "model.width=16", "model.image_size=56",
              "cotrain.lr_teacher=0.002", "cotrain.lr_student=0.005"]}  # from fresh weights longer steps leave float32
    for ranks, step, mode, dtype, form in [
        ("1", 3, "local", "float32", "first_order"), ("2", 0, "sync", "float32", "exact"),
        ("2", 3, "local", "float64", "cosine"), ("1+2", 3, "sync", "float64", "first_order"),
        ("2", 3, "local", "bfloat16", "first_order")]]

AFTER_A_TEACHER = [
    {"ranks": ranks, "step": 3, "source": source, "sampling": sampling, "also": [f"cotrain.pseudo_label.fr_sampling={sampling}"]}
    for ranks, source, sampling in [("2", "offline", "uniform"), ("1", "offline", "accepted"), ("2", "online", "class_balanced")]]

# What must end with 64: phase, step, settings, whether from fresh networks.
REFUSED = [
    ("teacher", 0, [], False),
    ("cotrain", 5, [], True),
    ("cotrain", 0, ["cotrain.placement=split", "cotrain.placement_ranks.teacher=2"], True),
    ("cotrain", 0, ["cotrain.feedback.max_lag=1"], True),
    ("cotrain", 0, ["cotrain.placement=split", "cotrain.feedback.max_lag=1"], True),
    ("cotrain", 0, ["model.backbone=iresnet50"], True),
    ("cotrain", 0, ["cotrain.pseudo_label.source=offline"], True),
]


def check_refusals(trainer):
    """-> number of commands that do not end with 64, or write something."""
    bad = 0
    for phase, step, settings, fresh in REFUSED:
        folder = trainer.scratch / "refused"
        command = trainer.train(phase, trainer.scratch / "refused-run", settings)
        command += ["--record-step", str(step), "--record-dir", folder] + (["--from-init"] if fresh else [])
        done = trainer.run(*command, ranks=2)
        refused = done.returncode == 64 and not (folder / "step.json").exists()
        print(f"{'refused' if refused else 'FAILED: left with ' + str(done.returncode)} {phase} step {step} {settings}")
        bad += not refused
    return bad


# A step too long for float32, on every kind of ranks; what else may be wrong with it is the replay's to say.
DIVERGING = ["cotrain.steps=200", "cotrain.warmup_steps=0", "cotrain.lr_teacher=100", "cotrain.lr_student=100",
             "cotrain.weight_decay=1", "cotrain.max_nonfinite=1"]


def changed(record, stem, name, change):
    """-> the record with one tensor changed."""
    tensors = {**record.tensors, stem: {**record[stem], name: change(record[stem][name].clone())}}
    return RecordedStep(record.step, tensors)


def check_undone(trainer):
    """-> number of jobs that do not leave a step whose replay shows why they gave up, or accept one that does not."""
    bad = 0
    for case in ({"ranks": "1"}, {"ranks": "2"}, {"ranks": "1+1"}, {"ranks": "2", "threshold": "dynamic"}):
        settings = DIVERGING + settings_of(case)
        run = trainer.scratch / f"diverging-{'-'.join(case.values())}"
        done = trainer.run(*trainer.train("cotrain", run, settings), "--from-init", ranks=sum(map(int, case["ranks"].split("+"))))
        folders = list((run / "phases" / "cotrain").glob("nonfinite-*"))
        named = len(folders) == 1 and f"replay_step.py {folders[0]}" in done.stdout + done.stderr
        print(f"{case} gives up: left with {done.returncode}, {'recorded' if named else 'FAILED, not recorded'}")
        if done.returncode != 65 or not named:
            bad += 1
            continue
        record = RecordedStep.read(folders[0])
        code = subprocess.run([sys.executable, Path(__file__).with_name("replay_step.py"), folders[0]]).returncode
        mended = changed(record, "student_after", "fc.weight", lambda w: w + 1)
        calm = RecordedStep(record.step, {**record.tensors, **{f"{net}_{when}": {
            n: torch.full_like(t, 0.01) if t.is_floating_point() else t for n, t in record[f"{net}_{when}"].items()}
            for net in ("teacher", "student") for when in ("before", "after")}})
        for name, made, holds in (("as recorded", record, True), ("with a weight that stayed changed", mended, False),
                                  ("with weights that lead to no such number", calm, False)):
            right = all(line.holds for line in replay_of(made).run()) == holds
            print(f"  {name}: {'found out' if not holds else 'holds'}" if right else f"  FAILED {name}")
            bad += not right
        bad += code != 0
    return bad


IN_FULL = {"ranks": "3", "step": 3, "dtype": "float64", "student_mask": "true", "clip": 0.5, "weight_decay": 0.02}
# Steps to plant faults in.
PLANTING = {
    "a step in full": IN_FULL,
    "before start_step": {"ranks": "3", "step": 3, "dtype": "float64", "feedback": "later"},
    "under class thresholds": {"ranks": "3", "step": 3, "dtype": "float64", "threshold": "dynamic"},
    "in bfloat16": {"ranks": "3", "step": 3, "dtype": "bfloat16"},
    "in bfloat16, frozen": {"ranks": "3", "step": 3, "dtype": "bfloat16", "batch_norm": "frozen"},
    "exact": {**IN_FULL, "form": "exact"},
    "cosine": {**IN_FULL, "form": "cosine"},
    "split": {**IN_FULL, "ranks": "2+3"},
    "sync": {**IN_FULL, "batch_norm": "sync"},
    "offline": {**IN_FULL, "source": "offline"},
    "in float32": {**IN_FULL, "dtype": "float32"},
}
# fault -> the steps that it is planted in, where these are not "a step in full" alone.
PLANTED_IN = {
    "h before start_step is fed back": ["before start_step"],
    **dict.fromkeys(["class thresholds see the step's own labels", "the mask has one threshold for all classes",
                     "the class status counts rank 0's faces", "a label of a class is confident by its own threshold"],
                    ["with a slow class"]),
    **dict.fromkeys(["L_old and L_new are in bfloat16", "weights are kept in bfloat16"], ["in bfloat16"]),
    "bfloat16 passes are in float32": ["in bfloat16, frozen"],
    **dict.fromkeys(["h is a mean of the ranks' own", "g_l is at the weights before the step"], ["exact", "cosine"]),
    "g_u is the clipped gradient": ["exact"],
    **dict.fromkeys(["labels lie by the teacher's cut", "h reaches one rank of the teacher"], ["split"]),
    **dict.fromkeys(["the student's loss is a mean of rank means", "L_old and L_new are rank 0's"],
                    ["a step in full", "split", "in float32"]),
    **dict.fromkeys(["each rank uses its own h", "the consistency loss is not masked", "each rank clips its own gradient"],
                    ["a step in full", "in float32"]),
    "each rank normalises by its own rows": ["sync"],
    "ranks keep their own statistics": ["a step in full", "sync", "in float32"],
    **dict.fromkeys(["the label is the teacher's own", "the mask decides what is trained on"], ["offline"]),
}


def with_a_slow_class(record):
    """-> the record as if the class of the least sure face had been learned slowly: of three steps no face would tell."""
    step, batch = copy.deepcopy(record.step), record["batch"]
    step["config"]["threshold"] = batch["q"].median().item()
    slow, classes = batch["y_hat"][batch["q"].argmin()].item(), record.config["C"]
    step["thresholds"]["labelled_before"] = [1 / classes] * classes
    step["thresholds"]["confident_before"] = [(0.1 if c == slow else 1.0) / classes for c in range(classes)]
    return FaultyTrainer(RecordedStep(step, record.tensors)).make()


def check_right(trainer, name, record):
    """-> number of replays of the record that do not hold: as it is, and made again."""
    bad = 0
    for kind, made in (("as recorded", record), ("made again without a fault", FaultyTrainer(record).make())):
        failed = [line.name for line in replay_lines(trainer, made) if not line.holds]
        print(f"{name}, {kind}: {'holds' if not failed else 'FAILED ' + ', '.join(failed)}")
        bad += bool(failed)
    return bad


def plant(trainer, fault, name, record):
    """-> whether the fault is found where it is and nowhere else; it stays in the scratch folder."""
    FaultyTrainer(record, fault).make().write(trainer.scratch / "planted")
    failed = {line.name for line in replay_lines(trainer, RecordedStep.read(trainer.scratch / "planted")) if not line.holds}
    seen_in, perhaps = FAULTS[fault], PERHAPS.get(fault, set())
    if record.step["dtype"] == "float32":
        perhaps = perhaps | HIDDEN_IN_FLOAT32.get(fault, set())
    found = bool(failed) if seen_in is None else failed - perhaps == seen_in - perhaps
    print(f"{'found ' if found else 'MISSED'} {fault}, {name}: {', '.join(sorted(failed))}", flush=True)
    if not found:
        print(f"       expected: {', '.join(sorted(seen_in or {'any'}))}")
    return found


def plant_faults(trainer):
    """-> number of faults that are not found where they are."""
    records = {name: RecordedStep.read(record_case(trainer, f"planting-{number}", case))
               for number, (name, case) in enumerate(PLANTING.items())}
    records["with a slow class"] = with_a_slow_class(records["under class thresholds"])
    bad = sum(check_right(trainer, name, record) for name, record in records.items())
    found = [plant(trainer, fault, name, records[name]) for fault in FAULTS for name in PLANTED_IN.get(fault, ["a step in full"])]
    bad += found.count(False)
    command = [sys.executable, Path(__file__).with_name("replay_step.py"), trainer.scratch / "planted"]
    code = subprocess.run(command, capture_output=True).returncode
    if code != 1:
        print(f"FAILED: the program left with {code} on a planted fault, not with 1")
        bad += 1
    print(f"{len(found)} faults planted, {bad} not found where they are")
    return bad


def plant_in_float32(trainer):
    """-> number of the faults of a step in full that a float32 record hides."""
    record = RecordedStep.read(record_case(trainer, "planting-float32", PLANTING["in float32"]))
    shown = [fault for fault, seen_in in FAULTS.items() if "a step in full" in PLANTED_IN.get(fault, ["a step in full"])
             and seen_in is not None and seen_in - HIDDEN_IN_FLOAT32.get(fault, set())]
    found = [plant(trainer, fault, "in float32", record) for fault in shown]
    print(f"{len(found)} faults planted in float32, {found.count(False)} not found")
    return found.count(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pairs", "grid", "faults"])
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    parser.add_argument("--scratch", required=True, help="folder to work in; emptied first")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="what the trainer computes on")
    parser.add_argument("--jobs", type=int, default=1, help="cases beside each other")
    parser.add_argument("--first", type=int, default=0, help="number of the case to begin with")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # small networks; threads would only wait for each other
    torch.set_num_threads(1)
    trainer = Trainer(arguments.bin, arguments.scratch, arguments.device)
    if arguments.what == "faults":
        bad = plant_faults(trainer) + check_undone(trainer)
    else:
        cases = AFTER_A_TEACHER + cover(2) if arguments.what == "pairs" else cover(3, 1) + cover(3, 2) + cover(3, 3) + LARGER
        bad = check_refusals(trainer) + run_cases(trainer, cases, arguments.jobs, arguments.first)
        bad += plant_in_float32(trainer) if arguments.what == "grid" else 0
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
