"""How the real gcloud is led to the emulator (`cloud-run-api.md` §9.1)."""

from __future__ import annotations

HOST = "emulator.test"
"""
No such name exists: gcloud puts the region before it, and asks its proxy, which is the emulator.
"""


def environment(rest: str) -> dict[str, str]:
    """
    The variables with which gcloud talks to the emulator at `rest`, and to nobody else.

    The proxy is set for gcloud alone: the usual variable would lead gRPC astray. Who sets these
    sets CLOUDSDK_CONFIG too, to an empty folder, or the user's own settings get in between.
    """
    address, _, port = rest.partition(":")
    apis = {
        "RUN": "run",
        "SECRETMANAGER": "secretmanager",
        "SERVICEUSAGE": "serviceusage",
        "SQL": "sqladmin",
        "VPCACCESS": "vpcaccess",
    }
    return {
        **{
            f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"http://{host}.{HOST}/"
            for name, host in apis.items()
        },
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": address,
        "CLOUDSDK_PROXY_PORT": port,
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    }
