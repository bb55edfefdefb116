# SPDX-License-Identifier: Apache-2.0
"""Checks that a Grafana dashboard can be provisioned as it is: no id, a fixed uid, a data source to choose."""
import json
import sys


def main():
    with open(sys.argv[1]) as file:
        text = file.read()
    dashboard = json.loads(text)
    faults = []
    if dashboard.get("id") is not None or not dashboard.get("uid"):
        faults.append("id must be null and uid fixed")
    if "${DS_" in text or "__inputs" in text:
        faults.append("an exported data source input is left in")
    variables = dashboard["templating"]["list"]
    if not any(v["type"] == "datasource" and v["query"] == "prometheus" for v in variables):
        faults.append("there is no data source variable")
    faults += [f"{p['title']}: no expression" for p in dashboard["panels"] if not all(t["expr"] for t in p["targets"])]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
