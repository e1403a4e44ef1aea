"""Output of the stand-in upstream."""


def say(text: str) -> None:
    print(f"upstream: {text}", flush=True)
