# SPDX-License-Identifier: Apache-2.0
"""Splits rendered manifests: Kubernetes' own kinds into build/lint/core.yaml for its schemas; operators' kinds are
checked here. Usage: check_manifests.py FILE..."""
import sys

sys.path[:0] = __import__("glob").glob("build/lint/lib/python3*/site-packages")
import yaml  # noqa: E402

OPERATORS = {"PodMonitor": "monitoring.coreos.com/v1", "PrometheusRule": "monitoring.coreos.com/v1",
             "MPIJob": "kubeflow.org/v2beta1"}


def faults(document):
    kind = document["kind"]
    if document["apiVersion"] != OPERATORS[kind]:
        yield f"{kind}: apiVersion is {document['apiVersion']}, not {OPERATORS[kind]}"
    if kind == "PrometheusRule":
        with open("deploy/prometheus/ferment.rules.yml") as file:
            if document["spec"]["groups"] != yaml.safe_load(file)["groups"]:
                yield "PrometheusRule: its groups differ from deploy/prometheus/ferment.rules.yml"
    if kind == "MPIJob":
        replicas = document["spec"]["mpiReplicaSpecs"]
        if document["spec"]["runPolicy"]["schedulingPolicy"]["minAvailable"] != replicas["Worker"]["replicas"]:
            yield "MPIJob: minAvailable is not the number of workers, so a gang scheduler would wait for ever"
        for name, replica in replicas.items():
            if replica["template"]["spec"]["terminationGracePeriodSeconds"] < 300:
                yield f"MPIJob {name}: less than 300 s to checkpoint"


def main():
    documents = []
    for path in sys.argv[1:]:
        with open(path) as file:
            documents += [document for document in yaml.safe_load_all(file) if document]
    core = [document for document in documents if document["kind"] not in OPERATORS]
    found = [fault for document in documents if document["kind"] in OPERATORS for fault in faults(document)]
    with open("build/lint/core.yaml", "w") as file:
        yaml.safe_dump_all(core, file)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
