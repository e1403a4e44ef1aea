"""What commands have in common: settings, the platform that was started last, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtor_local.errors import RealtorError

if TYPE_CHECKING:
    from rich.console import Console

    from realtor_local.platform_settings import PlatformSettings
    from realtor_local.stack import Stack

FAILED, DOWN = 1, 3


def console(*, error: bool = False) -> Console:
    from realtor_local.console_output import make_console

    return make_console(error=error)


def settings() -> PlatformSettings:
    from realtor_local.platform_settings import load_settings

    return load_settings()


def stack() -> Stack:
    from realtor_local.stack import Stack

    return Stack(settings(), console())


def platform() -> dict[str, str]:
    """What platform.env tells of the platform that was started last. Raises RealtorError."""
    from realtor_local.platform_home import PlatformHome

    home = PlatformHome(settings().home)
    environment = home.environment()
    if not environment:
        raise RealtorError(f"There is no platform in {home.root} yet: `realtor up` makes it.")
    return environment


def running_platform() -> dict[str, str]:
    """`platform()`, for what can only be done while it runs. Raises RealtorError."""
    environment = platform()
    if not stack().supervisor.alive():
        raise RealtorError("The platform is down: `realtor up` starts it.")
    return environment
