"""
The words for resources that are not ours: a refusal may repeat a word only if everybody knows it.
"""

from __future__ import annotations

_KINDS = frozenset(
    """
    ClusterRole ClusterRoleBinding ConfigMap Configuration CronJob CustomResourceDefinition
    DaemonSet DeliveryPipeline Deployment DomainMapping Endpoints Execution Gateway HTTPRoute
    HorizontalPodAutoscaler IAMPolicy IAMPolicyMember Ingress Job Kustomization List
    ManagedCertificate Namespace NetworkPolicy Node PersistentVolume PersistentVolumeClaim Pod
    PodDisruptionBudget ReplicaSet Revision Role RoleBinding Route RunService Secret Service
    ServiceAccount StatefulSet StorageClass Target Task Trigger WorkerPool
    """.split()
)
"""What people keep beside their services."""

_GROUPS = frozenset(
    """
    apiextensions.k8s.io apps autoscaling batch cloud.google.com deploy.cloud.google.com
    domains.cloudrun.com eventing.knative.dev gateway.networking.k8s.io iam.cnrm.cloud.google.com
    networking.gke.io networking.k8s.io policy rbac.authorization.k8s.io run.cnrm.cloud.google.com
    run.googleapis.com serving.knative.dev storage.k8s.io v1
    """.split()
)


def in_words(kind: str, group: str) -> str:
    """
    A kind and its API in words. A name that is not known is not repeated: it could be anything.
    """
    named = kind if kind in _KINDS else "resource" if kind else "document without kind"
    return f"a {named} of {group if group in _GROUPS else 'another API' if group else 'no API'}"
