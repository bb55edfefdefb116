# SPDX-License-Identifier: Apache-2.0
"""Makes a recorded step again, as a trainer with one known fault would have made and written it.

Only the step's inputs are taken from the record; all that follows is computed anew, so that the fault is in the folder
with all its consequences. Without a fault the result is a right step.
"""
import copy
import math

import torch
from torch.nn.functional import cross_entropy, log_softmax, softmax

from ranked_network import RankedNetwork, build_network
from recorded_step import RecordedStep, split_state
from replay_step import dynamic_thresholds

# fault -> the lines of the replay that see it: these, and no others.
FAULTS = {
    "the sign of h is new - old": {"h_raw"},
    "the baseline is missing": {"baseline", "h"},
    "h before start_step is fed back": {"baseline", "h"},
    "each rank uses its own h": {"L_T_mpl", "teacher gradient"},
    "h is a mean of the ranks' own": {"h_raw"},
    "g_l is at the weights before the step": {"h_raw"},
    "g_u is the clipped gradient": {"h_raw"},
    "h reaches one rank of the teacher": {"L_T_mpl", "teacher gradient"},
    "labels lie by the teacher's cut": {"L_S_u", "student gradient"},
    "each rank normalises by its own rows": {"q", "L_T_l", "L_T_u", "L_T_mpl", "teacher gradient", "teacher statistics",
                                             "L_S_u", "student gradient", "student statistics"},
    "the label is the teacher's own": {"labels of the sets"},
    "the mask decides what is trained on": {"trained"},
    "L_old and L_new are rank 0's": {"L_old", "L_new"},
    "L_old is taken after the step": {"L_old"},
    "L_old is label-smoothed": {"L_old"},
    "L_old is from a training-mode forward": {"L_old"},
    "L_old has the statistics before the strong forward": {"L_old"},
    "the L_new forward moves the statistics": {"L_old", "L_new", "student statistics"},
    "the label is the strong view's": {"y_hat"},
    "the credited label is the strong view's own": {"L_T_mpl", "teacher gradient"},
    "the other view is credited": {"L_T_mpl", "teacher gradient"},
    "the feedback target is soft": {"L_T_mpl", "teacher gradient"},
    "credit for labels the student was not trained on": {"L_T_mpl", "teacher gradient"},
    "the consistency loss is a mean over the mask": {"L_T_u", "teacher gradient"},
    "the consistency loss is not masked": {"L_T_u", "teacher gradient"},
    "tau is in the consistency loss": {"L_T_u", "teacher gradient"},
    "the ramp starts at zero": {"lambda"},
    "class thresholds see the step's own labels": {"thresholds"},
    "the mask has one threshold for all classes": {"mask"},
    "the class status counts rank 0's faces": {"class status"},
    "a label of a class is confident by its own threshold": {"class status"},
    "the student's loss is a mean of rank means": {"L_S_u", "student gradient"},
    "the teacher's loss is a mean of rank means": {"L_T_l", "teacher gradient"},
    "BatchNorm weights decay": {"student momentum", "student weights", "teacher momentum", "teacher weights"},
    "the clip comes after the decay": {"student momentum", "student weights", "teacher momentum", "teacher weights"},
    "the recorded gradient is clipped": {"student gradient", "student momentum", "student weights",
                                         "teacher gradient", "teacher momentum", "teacher weights"},
    "each rank clips its own gradient": {"student gradient", "teacher gradient"},
    "the momentum is dampened": {"student momentum", "student weights", "teacher momentum", "teacher weights"},
    "nesterov is ignored": {"student weights", "teacher weights"},
    "the average moves before the step": {"ema weights"},
    "the average's statistics are copied": {"ema statistics"},
    "the running variance is biased": {"student statistics", "teacher statistics"},
    "ranks keep their own statistics": {"student statistics", "teacher statistics"},
    "the teacher looks at each view by itself": {"q", "L_T_l", "L_T_u", "L_T_mpl", "teacher gradient",
                                                 "teacher statistics"},
    "the step is computed in float32": None,  # any line, but some
    "L_old and L_new are in bfloat16": {"L_old", "L_new"},
    "weights are kept in bfloat16": {"student weights", "teacher weights"},
    "bfloat16 passes are in float32": None,  # some: a single rounding that falls otherwise may move a gradient as far
}
# Lines that a fault may break or not, as the rows fall or the processor sums.
PERHAPS = {"the teacher looks at each view by itself": {"y_hat"},
           "each rank normalises by its own rows": {"y_hat"}}
# Lines that a float32 record may hide a fault from: their tolerance is wider than what the fault changes.
HIDDEN_IN_FLOAT32 = {
    **dict.fromkeys(["each rank uses its own h", "the credited label is the strong view's own", "the other view is credited",
                     "the feedback target is soft", "credit for labels the student was not trained on",
                     "tau is in the consistency loss"], {"teacher gradient"}),
    "the recorded gradient is clipped": {"student momentum", "student weights", "teacher momentum", "teacher weights"},
    "the running variance is biased": {"student statistics", "teacher statistics"},
}


def flat(tensors):
    return torch.cat([t.double().flatten() for t in tensors])


class FaultyTrainer:
    def __init__(self, record, fault=""):
        assert not fault or fault in FAULTS, fault
        self.record, self.config, self.fault = record, record.config, fault
        net = build_network(record.step)
        mixed = record.step["dtype"] == "bfloat16" and not self.has("bfloat16 passes are in float32")
        batch_norm = "local" if self.has("each rank normalises by its own rows") else self.config["batch_norm"]
        self.network = RankedNetwork(net, batch_norm, mixed)
        self.scorer = RankedNetwork(net, self.config["batch_norm"], mixed=self.has("L_old and L_new are in bfloat16"))
        self.out = RecordedStep(copy.deepcopy(record.step), {stem: dict(t) for stem, t in record.tensors.items()})
        self.scalars = self.out.step["scalars"]

    def has(self, fault):
        assert fault in FAULTS, fault
        return self.fault == fault

    def make(self):
        if self.has("the step is computed in float32"):
            return self.make_in_float32()
        self.label()
        self.student()
        self.feed_back()
        self.teacher()
        self.average()
        return self.out

    def make_in_float32(self):
        narrow = {stem: {n: t.float() if t.is_floating_point() else t for n, t in own.items()}
                  for stem, own in self.record.tensors.items()}
        step = {**copy.deepcopy(self.record.step), "dtype": "float32"}
        made = FaultyTrainer(RecordedStep(step, narrow)).make()
        made.step["dtype"] = "float64"
        for stem, own in made.tensors.items():
            made.tensors[stem] = {n: t.double() if t.is_floating_point() else t for n, t in own.items()}
        return made

    def leaves(self, stem):
        parameters, statistics = split_state(self.record[stem])
        return {n: p.clone().requires_grad_() for n, p in parameters.items()}, statistics

    def rows(self, network, name):
        kind = "labelled" if name.endswith("_l") else "unlabelled"
        return self.record.rows(network, self.out["batch"][name], kind)

    def training_forward(self, parameters, statistics, rows):
        logits, after = self.network.train(parameters, statistics, rows)
        if self.has("ranks keep their own statistics"):
            _, after = self.network.train(parameters, statistics, rows[:1])
        if self.has("the running variance is biased"):
            after = {n: t if not n.endswith("bn1.running_var") else t - 1e-3 * (t - statistics[n])
                     for n, t in after.items()}
        return logits, after

    def label(self):
        config, batch = self.config, self.out["batch"]
        self.teacher_parameters, statistics = self.leaves("teacher_before")
        parts = [self.rows("teacher", name) for name in ("x_l", "x_u_weak", "x_u_strong")]
        if self.has("the teacher looks at each view by itself"):
            views = []
            for rows in parts:
                logits, statistics = self.training_forward(self.teacher_parameters, statistics, rows)
                views.append(logits)
            self.teacher_statistics = statistics
            self.labelled, self.weak, self.strong = views
        else:
            logits, self.teacher_statistics = self.training_forward(
                self.teacher_parameters, statistics, [torch.cat(rows) for rows in zip(*parts)])
            split = [z.split([len(part) for part in rows]) for z, rows in zip(logits, zip(*parts))]
            self.labelled, self.weak, self.strong = (list(part) for part in zip(*split))
        weak, strong = torch.cat(self.weak).detach(), torch.cat(self.strong).detach()
        self.p = softmax(weak / config["tau"], 1)
        batch["q"] = self.p.amax(1)
        online = config["pseudo_label_source"] == "online"
        if online or self.has("the label is the teacher's own"):
            batch["y_hat"] = (strong if self.has("the label is the strong view's") else weak).argmax(1)
        batch["mask"] = (batch["q"] >= self.class_thresholds()[batch["y_hat"]]).to(batch["q"])
        masked = config["student_mask"] and (online or self.has("the mask decides what is trained on"))
        batch["trained"] = batch["mask"] if masked else torch.ones_like(batch["mask"])
        self.scalars["accepted"] = batch["mask"].sum().item()

    def class_thresholds(self):
        """-> [C]; moves the class status."""
        config, label, q = self.config, self.out["batch"]["y_hat"], self.out["batch"]["q"].double()
        one_for_all = torch.full([config["C"]], config["threshold"], dtype=torch.float64)
        if config.get("threshold_rule", "fixed") == "fixed":
            return one_for_all
        status = self.out.step["thresholds"]
        before = [torch.tensor(status[f"{kind}_before"], dtype=torch.float64) for kind in ("labelled", "confident")]
        used = dynamic_thresholds(config["threshold"], *before)
        rows = torch.nn.functional.one_hot(label, config["C"]).double()
        sure = q >= (used[label] if self.has("a label of a class is confident by its own threshold") else config["threshold"])
        seen = slice(0, self.record.step["ranks"]["teacher"][0]["unlabelled"][1]) if self.has(
            "the class status counts rank 0's faces") else slice(None)
        shares = [rows[seen].sum(0) / len(q), (rows * sure[:, None])[seen].sum(0) / len(q)]
        after = [0.99 * old + 0.01 * share for old, share in zip(before, shares)]
        if self.has("class thresholds see the step's own labels"):
            used = dynamic_thresholds(config["threshold"], *after)
        status.update(used=used.tolist(), labelled_after=after[0].tolist(), confident_after=after[1].tolist())
        return one_for_all if self.has("the mask has one threshold for all classes") else used

    def mean(self, of_ranks, count, fault):
        """The global mean of what each rank has of every row."""
        if self.has(fault):
            return sum(values.mean() for values in of_ranks) / len(of_ranks)
        return sum(values.sum() for values in of_ranks) / count

    def student(self):
        config, batch = self.config, self.out["batch"]
        parameters, statistics = self.leaves("student_before")
        logits, self.student_statistics = self.training_forward(parameters, statistics,
                                                                self.rows("student", "x_u_strong"))
        labels = batch["y_hat"].roll(1) if self.has("labels lie by the teacher's cut") else batch["y_hat"]
        labels = self.record.rows("student", labels, "unlabelled")
        trained = self.record.rows("student", batch["trained"], "unlabelled")
        losses = [m * cross_entropy(z, y, label_smoothing=config["label_smoothing"], reduction="none")
                  for z, y, m in zip(logits, labels, trained)]
        loss = self.mean(losses, len(batch["y_hat"]), "the student's loss is a mean of rank means")
        self.scalars["L_S_u"] = loss.item()
        self.student_parameters = {n: p.detach() for n, p in parameters.items()}
        self.student_new = self.descend("student", loss, parameters, losses)

    def descend(self, side, loss, parameters, losses_of_ranks):
        config, out = self.config, self.out
        gradients = dict(zip(parameters, torch.autograd.grad(loss, parameters.values(), retain_graph=True)))
        clip = config["grad_clip"]
        if side == "student" and self.has("h is a mean of the ranks' own"):
            self.own_g_u = [flat(torch.autograd.grad(own.mean(), parameters.values(), retain_graph=True))
                            for own in losses_of_ranks]
        if self.has("each rank clips its own gradient"):
            gradients = {n: torch.zeros_like(g) for n, g in gradients.items()}
            for own in losses_of_ranks:
                share = torch.autograd.grad(own.sum() / sum(map(len, losses_of_ranks)), parameters.values(),
                                            retain_graph=True)
                factor = min(1.0, clip / len(losses_of_ranks) / (self.norm(share) + 1e-6))
                for name, g in zip(parameters, share):
                    gradients[name] += factor * g
        norm = self.norm(gradients.values())
        factor = min(1.0, clip / (norm + 1e-6)) if clip > 0 else 1.0
        if self.has("the recorded gradient is clipped"):
            gradients = {n: g * factor for n, g in gradients.items()}
            norm, factor = self.norm(gradients.values()), 1.0
        self.scalars[f"grad_norm_{side}"] = norm
        decayed = {n: self.decay(side, n) for n in parameters}
        if self.has("the clip comes after the decay"):
            late = self.norm([g + decayed[n] for n, g in gradients.items()])
            factor = min(1.0, clip / (late + 1e-6))
            decayed = {n: factor * d for n, d in decayed.items()}
        new = {}
        for name, w in self.record[f"{side}_before"].items():
            if name not in parameters:
                continue
            key = f"{side}.{name}"
            g = gradients[name] * factor + decayed[name]
            held = self.record["optimizer_before"].get(key, torch.zeros_like(w))
            v = config["momentum"] * held + (0.9 * g if self.has("the momentum is dampened") else g)
            ahead = config["nesterov"] and not self.has("nesterov is ignored")
            new[name] = w - config[f"lr_{side}"] * (g + config["momentum"] * v if ahead else v)
            if self.has("weights are kept in bfloat16"):
                new[name] = new[name].bfloat16().to(w)
            out["gradients"][key], out["optimizer_after"][key] = gradients[name], v
        return new

    def norm(self, tensors):
        return math.sqrt(sum(t.double().square().sum().item() for t in tensors))

    def decay(self, side, name):
        w = self.record[f"{side}_before"][name]
        spared = name in self.config["weight_decay_excluded"]
        if self.has("BatchNorm weights decay") and not name.startswith("fc."):
            spared = False
        return torch.zeros_like(w) if spared else self.config["weight_decay"] * w

    def labelled_losses(self, parameters, statistics, smoothing=0.0, training=False):
        """-> CE of every x_l, by rank."""
        rows = self.rows("student", "x_l")
        if training or self.config["feedback_statistics"] == "batch":
            logits, _ = self.scorer.train(parameters, statistics, rows)
        else:
            logits = [self.scorer.evaluate(parameters, statistics, own) for own in rows]
        labels = self.record.rows("student", self.out["batch"]["y_l"], "labelled")
        return [cross_entropy(z, y, label_smoothing=smoothing, reduction="none") for z, y in zip(logits, labels)]

    def feed_back(self):
        config, scalars, step = self.config, self.scalars, self.record.step["step"]
        statistics = self.student_statistics
        after_step = self.has("L_old is taken after the step")
        earlier = self.has("L_old has the statistics before the strong forward")
        with torch.no_grad():
            old = self.labelled_losses(self.student_new if after_step else self.student_parameters,
                                       split_state(self.record["student_before"])[1] if earlier else statistics,
                                       config["label_smoothing"] if self.has("L_old is label-smoothed") else 0.0,
                                       self.has("L_old is from a training-mode forward"))
            new = self.labelled_losses(self.student_new, statistics)
            if self.has("the L_new forward moves the statistics"):
                _, self.student_statistics = self.scorer.train(self.student_new, statistics,
                                                               self.rows("student", "x_l"))
        if self.has("L_old and L_new are rank 0's"):
            old, new = old[:1], new[:1]
        scalars["L_old"], scalars["L_new"] = (torch.cat(part).double().mean().item() for part in (old, new))
        off = config["lr_student"] == 0 or config["feedback_form"] == "off"
        sign = -1 if self.has("the sign of h is new - old") else 1
        scalars["h_raw"] = 0.0 if off else sign * self.raw_feedback(statistics)
        before = scalars["baseline_before"]
        active = not off and (step >= config["feedback_start_step"] or self.has("h before start_step is fed back"))
        moves = active and config["baseline"] and not self.has("the baseline is missing")
        scalars["baseline_after"] = 0.99 * before + 0.01 * scalars["h_raw"] if moves else before
        scalars["h"] = scalars["h_raw"] - (scalars["baseline_after"] if moves else 0.0) if active else 0.0
        self.h_of_ranks = [scalars["h"]] * len(old)
        if self.has("each rank uses its own h"):
            self.h_of_ranks = [(a.mean() - b.mean()).item() - scalars["baseline_after"] for a, b in zip(old, new)]
        if len(self.h_of_ranks) < len(self.weak):
            self.h_of_ranks = [scalars["h"]] * len(self.weak)
        if self.has("h reaches one rank of the teacher"):
            self.h_of_ranks = [scalars["h"]] + [0.0] * (len(self.weak) - 1)

    def raw_feedback(self, statistics):
        config, scalars = self.config, self.scalars
        if config["feedback_form"] == "first_order":
            return scalars["L_old"] - scalars["L_new"]
        at = self.student_parameters if self.has("g_l is at the weights before the step") else self.student_new
        leaves = {n: p.detach().clone().requires_grad_() for n, p in at.items()}
        losses = self.labelled_losses(leaves, statistics)
        g_u = flat(self.out["gradients"][f"student.{n}"] for n in leaves)
        if self.has("g_u is the clipped gradient"):
            g_u = g_u * min(1.0, config["grad_clip"] / (g_u.norm().item() + 1e-6))
        pairs = [(sum(own.sum() for own in losses) / config["B"], g_u)]
        if self.has("h is a mean of the ranks' own"):
            pairs = [(own.mean(), own_g_u) for own, own_g_u in zip(losses, self.own_g_u)]
        of_pairs = []
        for loss, gradient in pairs:
            g_l = flat(torch.autograd.grad(loss, leaves.values(), retain_graph=True))
            scale = config["lr_student"] if config["feedback_form"] == "exact" else 1 / (g_l.norm() * gradient.norm()).item()
            of_pairs.append(scale * (g_l @ gradient).item())
        return sum(of_pairs) / len(of_pairs)

    def teacher(self):
        config, batch, scalars = self.config, self.out["batch"], self.scalars
        by_rank = lambda tensor: self.record.rows("teacher", tensor, "unlabelled")  # noqa: E731
        count = len(batch["y_hat"])
        supervised = [cross_entropy(z, y, label_smoothing=config["label_smoothing"], reduction="none")
                      for z, y in zip(self.labelled, self.record.rows("teacher", batch["y_l"], "labelled"))]
        loss_labelled = self.mean(supervised, config["B"], "the teacher's loss is a mean of rank means")
        warm = config["tau"] if self.has("tau is in the consistency loss") else 1.0
        mask = torch.ones_like(batch["mask"]) if self.has("the consistency loss is not masked") else batch["mask"]
        consistency = [-(p * log_softmax(z / warm, 1)).sum(1) * m
                       for p, z, m in zip(by_rank(self.p), self.strong, by_rank(mask))]
        divisor = batch["mask"].sum() if self.has("the consistency loss is a mean over the mask") else count
        loss_unlabelled = sum(own.sum() for own in consistency) / divisor
        begin = 0 if self.has("the ramp starts at zero") else 1
        scalars["lambda"] = config["lambda_u"] * min(1.0, (self.record.step["step"] + begin) / config["lambda_ramp_steps"])
        credit = self.credit(by_rank)
        feedback = sum(h * own.sum() for h, own in zip(self.h_of_ranks, credit)) / count
        loss = loss_labelled + scalars["lambda"] * loss_unlabelled + feedback
        scalars.update({"L_T_l": loss_labelled.item(), "L_T_u": loss_unlabelled.item(), "L_T_mpl": feedback.item()})
        scalars["L_T"] = scalars["L_T_l"] + scalars["lambda"] * scalars["L_T_u"] + scalars["L_T_mpl"]
        shares = [torch.cat([own, other]) for own, other in zip(supervised, consistency)]
        self.teacher_new = self.descend("teacher", loss, self.teacher_parameters, shares)

    def credit(self, by_rank):
        """-> CE_0 of every credited row, by rank."""
        batch, strong_view = self.out["batch"], self.config["feedback_view"] == "strong"
        if self.has("the other view is credited"):
            strong_view = not strong_view
        labels = batch["y_hat"]
        if self.has("the credited label is the strong view's own"):
            labels = torch.cat(self.strong).detach().argmax(1)
        trained = torch.ones_like(batch["trained"]) if self.has(
            "credit for labels the student was not trained on") else batch["trained"]
        views = self.strong if strong_view else self.weak
        if self.has("the feedback target is soft"):
            return [cross_entropy(z, softmax(z.detach(), 1), reduction="none") * m
                    for z, m in zip(views, by_rank(trained))]
        return [cross_entropy(z, y, reduction="none") * m for z, y, m in zip(views, by_rank(labels), by_rank(trained))]

    def average(self):
        decay, out = self.config["ema_decay"], self.out
        student = {**self.student_new, **self.student_statistics}
        teacher = {**self.teacher_new, **self.teacher_statistics}
        order = self.record["student_before"]
        out.tensors["student_after"] = {n: student[n].detach() for n in order}
        out.tensors["teacher_after"] = {n: teacher[n].detach() for n in order}
        source = dict(out["student_after"])
        if self.has("the average moves before the step"):
            source.update(self.student_parameters)
        for name, s in source.items():
            e = self.record["ema_before"][name]
            copied = self.has("the average's statistics are copied") and "running_" in name
            out["ema_after"][name] = decay * e + (1 - decay) * s if s.is_floating_point() and not copied else s
