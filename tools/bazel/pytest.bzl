"""Tests in Python, run by Debian's pytest, whose report counts each test case."""

def pytest_test(name, srcs, data = [], args = [], env = {}, **kwargs):
    native.sh_test(
        name = name,
        srcs = ["//tools/bazel:run_pytest.sh"],
        args = ["$(location %s)" % src for src in srcs] + args,
        data = srcs + data,
        env = env,
        **kwargs
    )
