"""SQL migrations, embedded in the program that applies them."""

def sql_migrations(name, component, namespace, srcs, visibility = None):
    """A cc_library `name` with a function that returns the migrations in `srcs`.

    sql_migrations(name = "inventory_migrations", component = "inventory", namespace = "countersign::inventory",
    srcs = glob(["migrations/*.sql"])) gives, in the header inventory_migrations.h of the package,
    `std::vector<db::Migration> countersign::inventory::InventoryMigrations()`.

    Args:
      name: the target's and the header's name; in CamelCase the function's.
      component: what the numbers count within, see migrations.h. Never changed once landed.
      namespace: of the function.
      srcs: files NNNN_name.sql with distinct numbers. Once landed they are never edited: add another.
      visibility: as everywhere.
    """
    function = "".join([word.capitalize() for word in name.split("_")])
    files = {}
    for src in srcs:
        base = src.split("/")[-1]
        if not base.endswith(".sql") or not base[:4].isdigit() or base[4:5] != "_":
            fail("%s: a migration is named NNNN_name.sql" % src)
        if base[:4] in files:
            fail("%s: another migration has the same number: %s" % (src, files[base[:4]]))
        files[base[:4]] = src

    guard = "COUNTERSIGN_%s_%s_H_" % (native.package_name().replace("/", "_").upper(), name.upper())
    header = [
        "#ifndef " + guard,
        "#define " + guard,
        "#include <vector>",
        "#include \"common/db/migrations.h\"",
        "namespace %s {" % namespace,
        "std::vector<::countersign::db::Migration> %s();" % function,
        "}",
        "#endif",
    ]
    native.genrule(
        name = name + "_header",
        outs = [name + ".h"],
        cmd = "cat > $@ <<'END_OF_HEADER'\n%s\nEND_OF_HEADER" % "\n".join(header),
    )

    commands = [
        "echo '#include \"%s/%s.h\"'" % (native.package_name(), name),
        "echo 'namespace %s {'" % namespace,
        "echo 'std::vector<::countersign::db::Migration> %s() { return {'" % function,
    ]
    for number in sorted(files):
        commands += [
            "echo '{\"%s\", %d, \"%s\", R\"END_OF_SQL('" % (
                component,
                int(number.lstrip("0") or "0"),
                files[number].split("/")[-1][5:-len(".sql")],
            ),
            "cat $(location %s)" % files[number],
            "echo ')END_OF_SQL\"},'",
        ]
    commands.append("echo '}; } }'")
    native.genrule(
        name = name + "_source",
        srcs = srcs,
        outs = [name + ".cc"],
        cmd = "{ %s; } > $@" % "; ".join(commands),
    )

    native.cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = [name + ".h"],
        visibility = visibility,
        deps = ["//common/db:migrations"],
    )
