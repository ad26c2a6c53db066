"""Prints ppo_golden.h: loss, gradient and Adam steps of small networks, by PyTorch's autograd and
torch.optim alone. Parameters and data are simple formulas that ppo_engine_test.cc repeats.
    python3 ppo_golden.py > ppo_golden.h
"""
import math
import torch

torch.set_default_dtype(torch.float64)
CLIP, VALUE_CLIP, VALUE_WEIGHT, ENTROPY_WEIGHT = 0.2, 0.15, 0.5, 0.03
LEARNING_RATE, NORM_MAX = 0.01, 0.5
STEPS, INPUTS, HEADS, WINDOW = 20, 3, [3, 2], 4
WIDTH = sum(HEADS)


def wave(count, factor, shift):
    return torch.tensor([math.sin(factor * i + shift) for i in range(count)])


def data():
    d = {
        "inputs": wave(STEPS * INPUTS, 0.37, 0.1).view(STEPS, INPUTS),
        "log_probs": -1.8 + 0.3 * wave(STEPS, 1.1, 0.2),
        "values": 0.5 * wave(STEPS, 0.9, 0.3),
        "advantages": wave(STEPS, 2.3, 0.4),
        "returns": 0.7 * wave(STEPS, 1.9, 0.5),
        "actions": torch.tensor([[t % 3, (t // 2) % 2] for t in range(STEPS)]),
    }
    # Every third step forbids one choice of the first head that is not the action.
    masks = torch.ones(STEPS, WIDTH, dtype=torch.bool)
    for t in range(0, STEPS, 3):
        masks[t, (t + 1) % 3] = False
    d["masks"] = masks
    d["starts"] = torch.tensor([t in (0, 6, 13) for t in range(STEPS)])
    return d


class Network:
    """WeightLayout's order over one flat parameter."""

    def __init__(self, hidden, lstm, separate):
        self.hidden, self.lstm, self.separate = hidden, lstm, separate
        shapes, width = [], INPUTS
        def trunk(name):
            width = INPUTS
            for i, size in enumerate(hidden):
                shapes.extend([(f"{name}.{i}.weight", (size, width)), (f"{name}.{i}.bias", (size,))])
                width = size
            return width
        features = trunk("policy")
        out = lstm or features
        shapes.extend([("policy.head.weight", (WIDTH, out)), ("policy.head.bias", (WIDTH,))])
        if separate and not lstm:
            trunk("value")
        shapes.extend([("value.head.weight", (1, out)), ("value.head.bias", (1,))])
        if lstm:
            shapes.extend([("lstm.weight_ih", (4 * lstm, features)), ("lstm.weight_hh", (4 * lstm, lstm)),
                           ("lstm.bias_ih", (4 * lstm,)), ("lstm.bias_hh", (4 * lstm,))])
        self.shapes = shapes
        count = sum(math.prod(shape) for _, shape in shapes)
        self.flat = (0.5 * wave(count, 1.7, 0.5)).requires_grad_()

    def tensors(self):
        at, out = 0, {}
        for name, shape in self.shapes:
            size = math.prod(shape)
            out[name] = self.flat[at:at + size].view(shape)
            at += size
        return out

    def __call__(self, d):
        w = self.tensors()
        def trunk(name, x):
            for i in range(len(self.hidden)):
                x = torch.tanh(x @ w[f"{name}.{i}.weight"].t() + w[f"{name}.{i}.bias"])
            return x
        features = trunk("policy", d["inputs"])
        if self.lstm:
            outputs = []
            for first in range(0, STEPS, WINDOW):
                state = 0.4 * wave(2 * self.lstm, 0.8, float(first))
                h, c = state[None, :self.lstm], state[None, self.lstm:]
                for t in range(first, min(first + WINDOW, STEPS)):
                    if d["starts"][t]:
                        h, c = torch.zeros_like(h), torch.zeros_like(c)
                    gates = (features[t:t + 1] @ w["lstm.weight_ih"].t() + w["lstm.bias_ih"]
                             + h @ w["lstm.weight_hh"].t() + w["lstm.bias_hh"])
                    i, f, g, o = gates.chunk(4, 1)
                    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                    h = o.sigmoid() * c.tanh()
                    outputs.append(h)
            features = value = torch.cat(outputs)
        else:
            value = trunk("value", d["inputs"]) if self.separate else features
        logits = features @ w["policy.head.weight"].t() + w["policy.head.bias"]
        values = (value @ w["value.head.weight"].t() + w["value.head.bias"])[:, 0]
        return logits, values


def losses(network, d):
    logits, values = network(d)
    logits = logits.masked_fill(~d["masks"], -math.inf)
    log_prob = entropy = 0
    at = 0
    for head, choices in enumerate(HEADS):
        distribution = torch.distributions.Categorical(logits=logits[:, at:at + choices])
        log_prob = log_prob + distribution.log_prob(d["actions"][:, head])
        entropy = entropy + distribution.entropy()
        at += choices
    ratio = (log_prob - d["log_probs"]).exp()
    surrogate = torch.min(ratio * d["advantages"], ratio.clamp(1 - CLIP, 1 + CLIP) * d["advantages"])
    clipped = d["values"] + (values - d["values"]).clamp(-VALUE_CLIP, VALUE_CLIP)
    errors = torch.max((values - d["returns"]) ** 2, (clipped - d["returns"]) ** 2)
    policy, value, bonus = -surrogate.mean(), errors.mean(), entropy.mean()
    kl = (ratio - 1 - ratio.log()).mean()
    outside = ((ratio - 1).abs() > CLIP).double().mean()
    total = policy + VALUE_WEIGHT * value - ENTROPY_WEIGHT * bonus
    return total, [x.item() for x in (policy, value, bonus, kl, outside)]


def show(name, values):
    body = ", ".join(f"{v:.9g}" for v in values)
    print(f"inline const std::vector<float> {name} = {{{body}}};")


print("// Made by ppo_golden.py. Order of figures: policy loss, value loss, entropy, kl, clip fraction.")
print("#ifndef MIDLANE_TESTS_LEARNER_PPO_GOLDEN_H_\n#define MIDLANE_TESTS_LEARNER_PPO_GOLDEN_H_\n")
print("#include <vector>\n\nnamespace midlane::golden {\n")
for name, hidden, lstm, separate in (("Separate", [5, 4], 0, True), ("Shared", [5], 0, False),
                                     ("Lstm", [5], 4, False)):
    d, network = data(), Network(hidden, lstm, separate)
    optimiser = torch.optim.Adam([network.flat], lr=LEARNING_RATE, eps=1e-5)
    for step in range(2):
        optimiser.zero_grad()
        total, figures = losses(network, d)
        total.backward()
        if step == 0:
            show(f"k{name}Figures", figures)
            show(f"k{name}Gradient", network.flat.grad.tolist())
        torch.nn.utils.clip_grad_norm_([network.flat], NORM_MAX)
        optimiser.step()
    show(f"k{name}AfterTwoSteps", network.flat.detach().tolist())
print("\n}  // namespace midlane::golden\n\n#endif  // MIDLANE_TESTS_LEARNER_PPO_GOLDEN_H_")
