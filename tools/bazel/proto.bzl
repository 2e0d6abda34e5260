"""C++ libraries from .proto files, with Debian's protoc and gRPC plugin."""

def proto_cc(name, package, srcs, deps = [], grpc = False, visibility = None):
    """A cc_library `name` with the messages of `srcs`, and with `grpc` its services too.

    Imports and includes are relative to the folder of the BUILD file, which has a filegroup `all_protos`.

    Args:
      name: the target's name.
      package: the folder of `srcs` below the BUILD file's, e.g. "countersign/common/v1".
      srcs: file names within `package`.
      deps: the proto_cc targets whose messages `srcs` import.
      grpc: whether `srcs` declare services.
      visibility: as everywhere.
    """
    paths = [package + "/" + src for src in srcs]
    suffixes = [".pb"] + ([".grpc.pb"] if grpc else [])
    stems = [path[:-len(".proto")] for path in paths]
    outs = [stem + suffix for stem in stems for suffix in suffixes]
    root = native.package_name()
    command = ["$(location @debian//:bin/protoc) -I" + root + " --cpp_out=$(RULEDIR)"]
    tools = ["@debian//:bin/protoc"]
    if grpc:
        command.append("--plugin=protoc-gen-grpc=$(location @debian//:bin/grpc_cpp_plugin) --grpc_out=$(RULEDIR)")
        tools.append("@debian//:bin/grpc_cpp_plugin")
    native.genrule(
        name = name + "_sources",
        srcs = paths + [":all_protos"],
        outs = [out + extension for out in outs for extension in (".h", ".cc")],
        cmd = " ".join(command + [root + "/" + path for path in paths]),
        tools = tools,
    )
    native.cc_library(
        name = name,
        srcs = [out + ".cc" for out in outs],
        hdrs = [out + ".h" for out in outs],
        copts = ["-w"],
        includes = ["."],
        visibility = visibility,
        deps = deps + ["@debian//:protobuf"] + (["@debian//:grpc"] if grpc else []),
    )
