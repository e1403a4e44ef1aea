"""What the stand-in tells whoever started it."""


def say(text: str) -> None:
    print(f"upstream: {text}", flush=True)
