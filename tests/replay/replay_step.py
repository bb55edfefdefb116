# SPDX-License-Identifier: Apache-2.0
"""Replays a step that `ferment-trainer --record-step` wrote, in plain PyTorch, and compares every number of it.

    python tests/replay/replay_step.py DIR

Each line is recomputed from the recorded inputs of its own (L_new from student_after, the teacher's gradient from the
recorded h), so that a fault shows where it is and nowhere else. Of a step that was not finite and has been undone, the
table says where the first number comes from that is not finite. Exit code 0: every line holds; 1: one does not, and the
table says which; 2: the folder cannot be replayed.
"""
import argparse
import math
import sys
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, log_softmax, softmax

from ranked_network import RankedNetwork, build_network
from recorded_step import RecordedStep, form_faults, split_state


@dataclass
class Tolerance:
    """docs/formats.md has the reasons."""
    loss: float        # relative
    evaluation: float  # relative, L_old and L_new
    gradient: float    # of its norm; bfloat16: of that of all of a network's gradients as one
    update: float      # the dot products of h, of the product of the norms
    arithmetic: float  # what follows from recorded tensors without a network: weights, momentum
    statistics: float
    average: float
    floor: float       # of the tensor's norm: what storing it costs


TOLERANCES = {"bfloat16": Tolerance(1e-2, 1e-4, 0.5, 0.1, 1e-5, 4e-2, 1e-5, 2.0**-22),
              "bfloat16, frozen": Tolerance(1e-3, 1e-5, 2e-2, 0.1, 1e-5, 2e-2, 1e-5, 2.0**-22),
              "float32": Tolerance(2e-5, 1e-5, 0.1, 0.1, 1e-5, 1e-3, 1e-5, 2.0**-22),
              "float64": Tolerance(1e-9, 1e-9, 1e-6, 1e-6, 1e-9, 1e-6, 1e-6, 2.0**-48)}
EXACT = 1e-12  # sums of a few recorded doubles
# What a sum of some hundred float32 rounds, relative; a rectifier's input within that of zero, or a number within that of
# the middle between two of bfloat16, falls on either side, and a whole gradient may hang on it.
ROUNDING = 2.0**-20
# What passes through a network.
ROUNDED = {"L_T_l", "L_T_u", "L_S_u", *(f"{side} {what}" for side in ("teacher", "student") for what in ("gradient", "statistics"))}


@dataclass
class Line:
    name: str
    difference: float
    allowed: float
    note: str = ""

    @property
    def holds(self):
        return self.difference <= self.allowed  # False for NaN

    def exceeds(self):
        """-> by how many times what is allowed; NaN as without end."""
        if self.difference == 0:
            return 0.0
        times = self.difference / self.allowed if self.allowed > 0 else math.inf
        return math.inf if math.isnan(times) else times


def dynamic_thresholds(threshold, labelled, confident):
    """-> [C] of the shares of faces that got each label, and of those that did so with confidence."""
    if confident.sum() <= 0:
        return torch.full_like(confident, threshold)
    average = confident.sum() / labelled.sum()
    learned = ((confident + 0.01 * average) / (labelled + 0.01) / average).clamp(max=1)
    return threshold * learned / (2 - learned)


def perturbed(record, seed):
    """-> the record with other roundings of weights and faces."""
    generator = torch.Generator().manual_seed(seed)

    def moved(tensor):
        if not tensor.is_floating_point():
            return tensor
        return tensor * (1 + ROUNDING * torch.randn(tensor.shape, generator=generator))

    tensors = {**record.tensors, "batch": {n: moved(t) if n.startswith("x_") else t for n, t in record["batch"].items()}}
    for stem in ("teacher_before", "student_before"):
        tensors[stem] = {n: moved(t) for n, t in record[stem].items()}
    return RecordedStep(record.step, tensors)


class Replay:
    def __init__(self, record):
        self.record, self.config, self.scalars = record, record.config, record.scalars
        self.batch = record["batch"]
        self.mixed = record.step["dtype"] == "bfloat16"
        frozen = self.mixed and self.config["batch_norm"] == "frozen"
        self.tolerance = TOLERANCES["bfloat16, frozen" if frozen else record.step["dtype"]]
        self.plain = build_network(record.step)
        self.network = RankedNetwork(self.plain, self.config["batch_norm"], self.mixed)
        self.scorer = RankedNetwork(self.plain, self.config["batch_norm"])
        self.lines = []
        self.computed = {}  # line -> tensor, or "" -> what the line compares with
        self.spread = {}  # line -> tensor, or "" -> what is allowed at least
        # h is 0 by rule, whatever the losses say.
        self.waiting = self.config["lr_student"] == 0 or self.config["feedback_form"] == "off"
        self.active = not self.waiting and record.step["step"] >= self.config["feedback_start_step"]

    def run(self):
        self.check()
        amiss = [line for line in self.lines if line.name in ROUNDED and not line.holds]
        if amiss and self.record.step["dtype"] != "float64":
            self.spread = self.measured_spread()
            self.check()
        return self.lines

    def check(self):
        faults = form_faults(self.record, self.plain)
        self.lines = [Line("form", len(faults), 0, "; ".join(faults))]
        if not faults:
            self.check_teacher_forward()
            self.check_student()
            self.check_feedback()
            self.check_teacher()
            self.check_average()

    def measured_spread(self):
        """-> 1.5 times the furthest that what is computed moves by where weights and faces differ by a rounding."""
        spread = {line: dict.fromkeys(values, 0.0) for line, values in self.computed.items()}
        for seed in range(8):
            other = Replay(perturbed(self.record, seed))
            other.check()
            for line, values in other.computed.items():
                for tensor, value in values.items():
                    moved = (value - self.computed[line][tensor]).norm().item()
                    spread[line][tensor] = max(spread[line][tensor], 1.5 * moved)
        return spread

    def allowed_at_least(self, line, tensor, computed):
        """For a line of ROUNDED; notes what was computed."""
        if line not in ROUNDED:
            return 0.0
        self.computed.setdefault(line, {})[tensor] = torch.as_tensor(computed, dtype=torch.float64)
        return self.spread.get(line, {}).get(tensor, 0.0)

    def number(self, name, computed, relative):
        recorded = self.scalars[name]
        allowed = max(relative * abs(computed), self.allowed_at_least(name, "", computed))
        self.lines.append(Line(name, abs(recorded - computed), allowed, f"{recorded:.9g}"))

    def tensors(self, name, pairs, relative):
        """pairs: name -> (recorded, computed, update); the line is that of the tensor that is furthest off."""
        lines = []
        for tensor, (recorded, computed, update) in pairs.items():
            recorded, computed = recorded.double(), computed.double()
            allowed = max(relative * update.double().norm().item(), self.allowed_at_least(name, tensor, computed))
            allowed += self.tolerance.floor * recorded.norm().item()
            lines.append(Line(name, (recorded - computed).norm().item(), allowed, tensor))
        self.lines.append(max(lines, key=Line.exceeds, default=Line(name, 0, 0)))

    def leaves(self, stem):
        parameters, statistics = split_state(self.record[stem])
        return {n: p.clone().requires_grad_() for n, p in parameters.items()}, statistics

    def teacher_forward(self):
        """One forward of the teacher, and its losses under the recorded mask."""
        record, batch, config = self.record, self.batch, self.config
        self.parameters, statistics = self.leaves("teacher_before")
        parts = [record.rows("teacher", batch[name], kind) for name, kind in
                 (("x_l", "labelled"), ("x_u_weak", "unlabelled"), ("x_u_strong", "unlabelled"))]
        logits, self.teacher_statistics = self.network.train(
            self.parameters, statistics, [torch.cat(rows) for rows in zip(*parts)])
        split = [z.split([len(part) for part in rows]) for z, rows in zip(logits, zip(*parts))]
        self.labelled, self.weak, self.strong = (torch.cat(part) for part in zip(*split))
        self.p = softmax(self.weak.detach() / config["tau"], 1)
        self.loss_labelled = cross_entropy(self.labelled, batch["y_l"], label_smoothing=config["label_smoothing"],
                                           reduction="sum") / config["B"]
        per_row = -(self.p * log_softmax(self.strong, 1)).sum(1)
        self.loss_unlabelled = (batch["mask"] * per_row).sum() / len(self.weak)

    def check_teacher_forward(self):
        record, batch, config = self.record, self.batch, self.config
        self.teacher_forward()
        p = self.p
        near = self.tolerance.loss * 10
        online = config["pseudo_label_source"] == "online"
        self.lines.append(Line("q", (batch["q"] - p.amax(1)).abs().max().item(), near))
        chosen = p.gather(1, batch["y_hat"].clamp(0, config["C"] - 1)[:, None])[:, 0]
        lowest = p.argmax(1)  # torch's argmax names the first of equal maxima on the CPU
        wrong = (batch["y_hat"] != lowest) & (p.amax(1) - chosen > near)
        wrong |= (batch["y_hat"] < 0) | (batch["y_hat"] >= config["C"])
        if online:
            self.lines.append(Line("y_hat", wrong.sum().item(), 0, "labels that are not the weak view's"))
        own = batch["y_hat"].clamp(0, config["C"] - 1) if online else lowest
        # Offline, the teacher's own label is not recorded: any class as likely as the first, to rounding, may be it.
        perhaps = torch.nn.functional.one_hot(own, config["C"]).bool()
        perhaps = perhaps if online else perhaps | (p.amax(1, keepdim=True) - p <= near)
        limits, q = self.check_thresholds(own, perhaps), batch["q"].double()[:, None]
        fits = ((q >= limits) == batch["mask"].bool()[:, None]) | ((q - limits).abs() < 1e-7)
        self.lines.append(Line("mask", (~(fits & perhaps).any(1)).sum().item(), 0))
        masked = config["student_mask"] and online
        trained = batch["mask"] if masked else torch.ones_like(batch["mask"])
        self.lines.append(Line("trained", (trained != batch["trained"]).sum().item(), 0))
        self.number("accepted", batch["mask"].sum().item(), 0)
        self.number("L_T_l", self.loss_labelled.item(), self.tolerance.loss)
        self.number("L_T_u", self.loss_unlabelled.item(), self.tolerance.loss)
        ramp = min(1.0, (record.step["step"] + 1) / config["lambda_ramp_steps"])
        self.number("lambda", config["lambda_u"] * ramp, EXACT)

    def check_thresholds(self, own, perhaps):
        """own: [mu*B] the teacher's labels; perhaps: [mu*B, C] what they may be. -> [C] thresholds as recorded; under the
        dynamic rule they follow from the class status before the step, and the status moves after it."""
        config, q = self.config, self.batch["q"].double()
        if config.get("threshold_rule", "fixed") == "fixed":
            return torch.full([config["C"]], config["threshold"], dtype=torch.float64)
        recorded = {name: torch.tensor(values, dtype=torch.float64)
                    for name, values in self.record.step["thresholds"].items()}
        computed = dynamic_thresholds(config["threshold"], recorded["labelled_before"], recorded["confident_before"])
        self.lines.append(Line("thresholds", (recorded["used"] - computed).abs().max().item(), EXACT))
        rows = torch.nn.functional.one_hot(own, config["C"]).double()
        sure = (q >= config["threshold"]).double()
        counts = {"labelled": rows.sum(0), "confident": (rows * sure[:, None]).sum(0)}
        at_edge = (((q - config["threshold"]).abs() < 1e-7) | (perhaps.sum(1) > 1)).sum().item()
        off = max((recorded[f"{name}_after"] - 0.99 * recorded[f"{name}_before"] - 0.01 * n / len(q)).abs().max().item()
                  for name, n in counts.items())
        self.lines.append(Line("class status", off, EXACT + 0.01 * at_edge / len(q)))
        return recorded["used"]

    def check_student(self):
        batch, config = self.batch, self.config
        parameters, statistics = self.leaves("student_before")
        rows = self.record.rows("student", batch["x_u_strong"], "unlabelled")
        logits, after = self.network.train(parameters, statistics, rows)
        losses = cross_entropy(torch.cat(logits), batch["y_hat"], label_smoothing=config["label_smoothing"],
                               reduction="none")
        loss = (losses * batch["trained"]).sum() / len(batch["y_hat"])
        self.number("L_S_u", loss.item(), self.tolerance.loss)
        self.check_descent("student", loss, parameters)
        self.check_statistics("student", after)

    def check_descent(self, side, loss, parameters):
        """The gradient against the replayed one; everything after it against what follows from the recorded one."""
        config, before, after = self.config, self.record[f"{side}_before"], self.record[f"{side}_after"]
        loss.backward()
        recorded = {n: self.record["gradients"][f"{side}.{n}"] for n in parameters}
        pairs = {n: (recorded[n], p.grad, p.grad) for n, p in parameters.items()}
        if self.mixed:
            pairs = {"all as one": [torch.cat([t.flatten() for t in part]) for part in zip(*pairs.values())]}
        self.tensors(f"{side} gradient", pairs, self.tolerance.gradient)
        norm = math.sqrt(sum(g.double().square().sum().item() for g in recorded.values()))
        self.number(f"grad_norm_{side}", norm, self.tolerance.arithmetic)

        momentum, decay = config["momentum"], config["weight_decay"]
        factor = min(1.0, config["grad_clip"] / (norm + 1e-6)) if config["grad_clip"] > 0 else 1.0
        excluded = set(config["weight_decay_excluded"])
        weights = {n: before[n].double().clone().requires_grad_() for n in parameters}
        optimizer = torch.optim.SGD(
            [{"params": [w for n, w in weights.items() if n not in excluded], "weight_decay": decay},
             {"params": [w for n, w in weights.items() if n in excluded], "weight_decay": 0}],
            lr=config[f"lr_{side}"], momentum=momentum, nesterov=config["nesterov"] and momentum > 0)
        buffers = {}
        for name, weight in weights.items():
            weight.grad = recorded[name].double() * factor
            held = self.record["optimizer_before"].get(f"{side}.{name}", torch.zeros_like(before[name])).double()
            optimizer.state[weight]["momentum_buffer"] = held.clone()
            new = weight.grad + (0 if name in excluded else decay) * before[name].double()
            written = self.record["optimizer_after"][f"{side}.{name}"]
            buffers[name] = (written, momentum * held + new, written.double() - momentum * held)
        optimizer.step()
        self.tensors(f"{side} momentum", buffers, self.tolerance.arithmetic)
        self.tensors(f"{side} weights", {n: (after[n], w.detach(), after[n].double() - before[n].double())
                                         for n, w in weights.items()}, self.tolerance.arithmetic)

    def check_statistics(self, side, computed):
        before, after = self.record[f"{side}_before"], self.record[f"{side}_after"]
        self.tensors(f"{side} statistics", {n: (after[n], t.detach(), (after[n] - before[n]).double()) for n, t in
                                            computed.items()}, self.tolerance.statistics)

    def labelled_loss(self, parameters, statistics):
        """-> [B] CE_0 on x_l as L_old and L_new see it, in the weights' type."""
        if self.config["feedback_statistics"] == "batch":
            logits, _ = self.scorer.train(parameters, statistics,
                                          self.record.rows("student", self.batch["x_l"], "labelled"))
            logits = torch.cat(logits)
        else:
            logits = self.scorer.evaluate(parameters, statistics, self.batch["x_l"])
        return cross_entropy(logits, self.batch["y_l"], reduction="none")

    def check_feedback(self):
        config, scalars = self.config, self.scalars
        old, _ = split_state(self.record["student_before"])
        new, statistics = self.leaves("student_after")
        # By the statistics of a rank's two or three faces roundings grow as in a pass that trains.
        allowed = self.tolerance.evaluation * (2 if config["feedback_statistics"] == "batch" else 1)
        with torch.no_grad():
            self.number("L_old", self.labelled_loss(old, statistics).double().sum().item() / config["B"], allowed)
        losses = self.labelled_loss(new, statistics)
        self.number("L_new", losses.double().sum().item() / config["B"], allowed)

        if self.waiting:
            self.lines.append(Line("h_raw", abs(scalars["h_raw"]), 0, "0 by rule"))
        elif config["feedback_form"] == "first_order":
            difference = abs(scalars["h_raw"] - (scalars["L_old"] - scalars["L_new"]))
            self.lines.append(Line("h_raw", difference, 4 * math.ulp(scalars["L_old"]), f"{scalars['h_raw']:.9g}"))
        else:
            (losses.sum() / config["B"]).backward()
            g_l = torch.cat([p.grad.double().flatten() for p in new.values()])
            g_u = torch.cat([self.record["gradients"][f"student.{n}"].double().flatten() for n in new])
            lengths = (g_l.norm() * g_u.norm()).item()
            scale = config["lr_student"] * lengths if config["feedback_form"] == "exact" else 1.0
            computed = scale * (g_l @ g_u).item() / lengths if lengths > 0 else 0.0
            self.lines.append(Line("h_raw", abs(scalars["h_raw"] - computed), self.tolerance.update * scale,
                                   f"{scalars['h_raw']:.9g}"))
        before, after, h, h_raw = (scalars[n] for n in ("baseline_before", "baseline_after", "h", "h_raw"))
        moves = self.active and config["baseline"]
        rounding = EXACT * (abs(before) + abs(h_raw))
        self.lines.append(Line("baseline", abs(after - (0.99 * before + 0.01 * h_raw if moves else before)),
                               rounding if moves else 0, f"{after:.9g}"))
        expected = (h_raw - after if moves else h_raw) if self.active else 0.0
        self.lines.append(Line("h", abs(h - expected), rounding if self.active else 0, f"{h:.9g}"))

    def check_teacher(self):
        batch, config, scalars = self.batch, self.config, self.scalars
        credited = self.strong if config["feedback_view"] == "strong" else self.weak
        losses = cross_entropy(credited, batch["y_hat"], reduction="none")
        feedback = scalars["h"] * (losses * batch["trained"]).sum() / len(losses)
        self.number("L_T_mpl", feedback.item(), self.tolerance.loss)
        parts = [scalars["L_T_l"], scalars["lambda"] * scalars["L_T_u"], scalars["L_T_mpl"]]
        self.lines.append(Line("L_T", abs(scalars["L_T"] - sum(parts)), EXACT * sum(map(abs, parts)),
                               f"{scalars['L_T']:.9g}"))
        self.check_descent("teacher", self.loss_labelled + scalars["lambda"] * self.loss_unlabelled + feedback,
                           self.parameters)
        self.check_statistics("teacher", self.teacher_statistics)

    def check_average(self):
        before, after, student = (self.record[n] for n in ("ema_before", "ema_after", "student_after"))
        decay = self.config["ema_decay"]
        for part, name in enumerate(("ema weights", "ema statistics")):
            pairs = {}
            for n, tensor in split_state(student)[part].items():
                computed = tensor.double()
                if tensor.is_floating_point():
                    computed = decay * before[n].double() + (1 - decay) * computed
                pairs[n] = (after[n], computed, after[n].double() - before[n].double())
            self.tensors(name, pairs, self.tolerance.average)


def replay_of(record):
    from replay_undone import UndoneReplay  # which is built on this file
    return UndoneReplay(record) if "undone" in record.step else Replay(record)


def print_table(lines):
    print(f"{'line':<20} {'difference':>11} {'allowed':>11}")
    for line in lines:
        print(f"{line.name:<20} {line.difference:>11.3g} {line.allowed:>11.3g} {'ok' if line.holds else 'FAILED':<6} {line.note}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="what --record-dir named")
    arguments = parser.parse_args()
    try:
        record = RecordedStep.read(arguments.folder)
        replay = replay_of(record)
    except (OSError, KeyError, ValueError) as error:
        print(f"cannot replay {arguments.folder}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    lines = replay.run()
    print_table(lines)
    return 0 if all(line.holds for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
