# SPDX-License-Identifier: Apache-2.0
"""Replays a step that was not finite and has been undone: do its inputs lead to such numbers, and where first?"""
import math

import torch

from recorded_step import STATES, split_state
from replay_step import Line, Replay


# L_old and L_new past it count as not finite (docs/method.md, what the numbers follow, 11).
LARGEST_FEEDBACK = 1e4


def finite(values):
    return all(torch.isfinite(value).all() for value in values)


def rows_off(tensor):
    """-> the rows that hold a number that is not finite."""
    return (~torch.isfinite(tensor.flatten(1)).all(1)).nonzero().flatten().tolist()


class UndoneReplay(Replay):
    """A line a part of the step, up to the one that the trainer stopped in; its note says what was not finite first."""

    def run(self):
        self.lines.append(Line("undone", sum(map(self.changes, STATES)), 0, "tensors that the step has changed"))
        self.parts = {"labels": self.label, "student": self.learn, "teacher": self.teach}
        stopped_in = self.record.step["undone"]
        for name, part in self.parts.items():
            found = self.inputs_off(name) + part()
            ends = name == stopped_in
            self.lines.append(Line(name, float(bool(found) != ends), 0, "; ".join(found) or "finite"))
            if ends:
                break
        return self.lines

    def changes(self, state):
        before, after = (self.record[f"{state}_{when}"] for when in ("before", "after"))
        same = [n for n in before if n in after and torch.equal(before[n].nan_to_num(-7), after[n].nan_to_num(-7))]
        return max(len(before), len(after)) - len(same)

    def inputs_off(self, part):
        state = {"labels": "teacher", "student": "student"}.get(part)
        names = {"labels": ["x_l", "x_u_weak", "x_u_strong"], "student": ["x_u_strong"]}.get(part, [])
        found = [f"{name} rows {rows_off(self.batch[name])}" for name in names if not finite([self.batch[name]])]
        if state:
            found += [f"{state} {n}" for n, t in self.record[f"{state}_before"].items() if not finite([t])][:3]
        return found

    def compare(self, name, computed):
        """A number that both sides have must agree; one that is not finite is null in the record."""
        if self.scalars[name] is not None and math.isfinite(computed):
            self.number(name, computed, self.tolerance.update)
        return [] if math.isfinite(computed) else [name]

    def label(self):
        self.teacher_forward()
        found = [f"teacher's logits of {name} rows {rows_off(z)}" for name, z in
                 (("x_l", self.labelled), ("weak", self.weak), ("strong", self.strong)) if rows_off(z)]
        return found + self.compare("L_T_l", self.loss_labelled.item()) + self.compare("L_T_u", self.loss_unlabelled.item())

    def descend(self, side, loss, parameters, statistics):
        """-> what is not finite of the gradient, the statistics and the weights after the step."""
        gradients = dict(zip(parameters, torch.autograd.grad(loss, parameters.values(), allow_unused=True)))
        gradients = {n: torch.zeros_like(parameters[n]) if g is None else g for n, g in gradients.items()}
        norm = math.sqrt(sum(g.double().square().sum().item() for g in gradients.values()))
        off = [n for n, g in gradients.items() if not finite([g])]
        found = [f"{side} gradient of {', '.join(off[:3])}"] if off else self.compare(f"grad_norm_{side}", norm)
        found += [f"{side} {n}" for n, t in statistics.items() if not finite([t])][:3]
        if not found:
            config = self.config
            clip = min(1.0, config["grad_clip"] / (norm + 1e-6)) if config["grad_clip"] > 0 else 1.0
            self.stepped = {}
            for name, w in parameters.items():
                decay = 0 if name in config["weight_decay_excluded"] else config["weight_decay"]
                g = gradients[name] * clip + decay * w.detach()
                held = self.record["optimizer_before"].get(f"{side}.{name}", torch.zeros_like(g))
                v = config["momentum"] * held + g
                self.stepped[name] = w.detach() - config[f"lr_{side}"] * (g + config["momentum"] * v if config["nesterov"] else v)
                if not finite([v, self.stepped[name]]):
                    found.append(f"{side} weights after the step: {name}")
        return found[:6]

    def learn(self):
        batch, config = self.batch, self.config
        parameters, statistics = self.leaves("student_before")
        logits, after = self.network.train(parameters, statistics,
                                           self.record.rows("student", batch["x_u_strong"], "unlabelled"))
        losses = torch.nn.functional.cross_entropy(torch.cat(logits), batch["y_hat"], reduction="none",
                                                   label_smoothing=config["label_smoothing"])
        loss = (losses * batch["trained"]).sum() / len(losses)
        found = self.compare("L_S_u", loss.item()) + self.descend("student", loss, parameters, after)
        if not found:
            with torch.no_grad():
                old = self.labelled_loss(split_state(self.record["student_before"])[0], after)
                new = self.labelled_loss(self.stepped, after)
            found = [name for name, z in (("L_old", old), ("L_new", new)) if not abs(z.mean().item()) <= LARGEST_FEEDBACK]
        return found

    def teach(self):
        batch, config, scalars = self.batch, self.config, self.scalars
        credited = self.strong if config["feedback_view"] == "strong" else self.weak
        losses = torch.nn.functional.cross_entropy(credited, batch["y_hat"], reduction="none")
        feedback = scalars["h"] * (losses * batch["trained"]).sum() / len(losses)
        loss = self.loss_labelled + scalars["lambda"] * self.loss_unlabelled + feedback
        return self.compare("L_T", loss.item()) + self.descend("teacher", loss, self.parameters, self.teacher_statistics)
