"""Documents in Cloud Run's words, as files hold them."""

from __future__ import annotations

CANARY = "cnry-cli-7f3a9c51e2"
SECRET = {"name": "JWT", "valueFrom": {"secretKeyRef": {"name": "jwt", "key": "7"}}}
PASSWORD = {"name": "DB_PASSWORD", "value": CANARY}


def service(name="api", *, env=(), status=None, traffic=None, annotations=None):
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "123",
            "labels": {"cloud.googleapis.com/location": "europe-west1"},
        },
        "spec": {
            "template": {
                "metadata": {"annotations": annotations or {}},
                "spec": {"containers": [{"image": "i", "env": list(env)}]},
            },
            **({"traffic": traffic} if traffic else {}),
        },
        **({"status": status} if status else {}),
    }


def revision(name, *, of="api", at="2026-01-01T00:00:00Z", env=()):
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "name": name,
            "namespace": "123",
            "creationTimestamp": at,
            "labels": {
                "serving.knative.dev/service": of,
                "cloud.googleapis.com/location": "europe-west1",
            },
        },
        "spec": {"containers": [{"image": "i", "env": list(env)}]},
    }


def v2(name="api", **more):
    return {
        "name": f"projects/shop/locations/europe-west1/services/{name}",
        "template": {"containers": [{"image": "i"}]},
        **more,
    }
