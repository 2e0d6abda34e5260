"""Counts test cases in Bazel's XML reports: count_tests.py TESTLOGS < labels of the tests.

Prints the cases that failed and, last, "N passed, N failed". A test without a report counts as one that failed, and so does
a run without a single case. Exit status 0 only when nothing failed.
"""

import pathlib
import sys
import xml.etree.ElementTree as xml


def main() -> int:
    logs = pathlib.Path(sys.argv[1])
    passed = 0
    failed = []
    for label in sys.stdin.read().split():
        folder = logs / label.removeprefix("//").replace(":", "/")
        reports = sorted(folder.glob("test.xml")) + sorted(folder.glob("shard_*/test.xml"))
        if not reports:
            failed.append(f"{label}: it did not run")
        for report in reports:
            cases = list(xml.parse(report).iter("testcase"))
            if not cases:
                failed.append(f"{label}: its report has no test case")
            for case in cases:
                if case.find("failure") is not None or case.find("error") is not None:
                    failed.append(f"{label}: {case.get('classname', '')}.{case.get('name')}")
                elif case.find("skipped") is None and case.get("status") != "notrun":
                    passed += 1
    for line in failed:
        print("FAILED", line)
    if passed == 0 and not failed:
        failed.append("no test")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
