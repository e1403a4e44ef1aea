"""Shared by the commands: settings, the environment of the platform, exit codes."""

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
    """The variables in platform.env, which the last start wrote.

    Raises:
        RealtorError: no platform was ever started.
    """
    from realtor_local.platform_home import PlatformHome

    home = PlatformHome(settings().home)
    environment = home.environment()
    if not environment:
        raise RealtorError(f"There is no platform in {home.root} yet: `realtor up` makes it.")
    return environment


def running_platform() -> dict[str, str]:
    """The same, for commands that need a running platform.

    Raises:
        RealtorError: it is down.
    """
    environment = platform()
    if not stack().supervisor.alive():
        raise RealtorError("The platform is down: `realtor up` starts it.")
    return environment
