"""The yardstick: a forward pass with full logits and a backward pass into the LoRA weights, as training."""

from stored import Call, Clock, Group


def main() -> None:
    call, clock = Call.read(), Clock()
    model, candidates = call.model(), call.groups()[0]
    model.train()

    def work(group: Group) -> None:
        for batch in group.padded():
            model(**batch, use_cache=False).loss.backward()
        model.zero_grad()

    work(candidates.first(2))
    with clock.stage("pass"):
        work(candidates)
    call.leave(clock)


if __name__ == "__main__":
    main()
