"""Measure a checkout's structure: `python tests/structure.py [ROOT]` prints one JSON object."""

import ast
import json
import sys
from pathlib import Path

ROOT = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[1])
FUNCTION, CLASS = ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef
PARTS = ast.Attribute | ast.Subscript | ast.IfExp | ast.BoolOp | ast.Tuple | ast.List | ast.keyword
TEXTS = {path.relative_to(ROOT): path.read_text("utf-8") for path in ROOT.glob("raypipe/**/*.py")}
TREES = {".".join(path.with_suffix("").parts): ast.parse(TEXTS[path]) for path in TEXTS}
NODES = [(m.removesuffix(".__init__"), n) for m, tree in TREES.items() for n in ast.walk(tree)]
TAKEN, CLASSES = [], [(module, node) for module, node in NODES if isinstance(node, CLASS)]
MEANING = {(*m.rpartition(".")[::2],): (m, n) for m, n in NODES if isinstance(n, ast.Module)}
for module, node in NODES:
    for child in node.names if isinstance(node, ast.ImportFrom) else ():
        MEANING.setdefault((module, child.asname or child.name), (node.module, child.name))
    for child in node.body if isinstance(node, ast.Module) else ():
        MEANING[module, getattr(child, "name", None)] = module, child
    parameters = ast.walk(node.args) if isinstance(node, FUNCTION) else ()  # each with its types
    types = [ast.unparse(p.annotation) for p in parameters if getattr(p, "annotation", None)]
    TAKEN.append({name for each in types for name in each.strip("'").split(" | ")})


def find(module, node):  # the module and the definition that `name` or `a.name` means
    name = getattr(node, "attr", getattr(node, "id", ""))
    if isinstance(node, ast.Attribute):
        module, owner = find(module, node.value)
        if not isinstance(owner, ast.Module):  # a method, if only one class has one of this name
            same = [(m, f) for m, c in CLASSES for f in c.body if getattr(f, "name", "") == name]
            return same[0] if len(same) == 1 else (module, None)
    source, target = MEANING.get((module, name), (module, None))
    return find(source, ast.Name(target)) if isinstance(target, str) else (source, target)


def calls(module, function, held):  # with what these names hold or a part; not objects of it
    def carries(node):
        inner = ast.iter_child_nodes(node) if isinstance(node, PARTS) else ()
        return getattr(node, "id", "") in held or any(map(carries, inner))

    for node in [*ast.walk(function)] * 2:  # twice: a loop may assign after the use
        part = dict(ast.iter_fields(node)).get
        if any(map(carries, (part("value"), part("iter"), part("context_expr")))):
            targets = ast.Tuple([part("target"), part("optional_vars"), *part("targets", ())])
            held = held | {n.id for n in ast.walk(targets) if isinstance(n, ast.Name)}
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        (where, target), owner = find(module, call.func), getattr(call.func, "value", None)
        own = carries(owner) and not isinstance(owner, ast.Attribute)  # not of a part of the job
        if target and (own or any(map(carries, call.args + call.keywords))):
            inits = [f for f in target.body if getattr(f, "name", "").endswith("init__")]
            for f in inits if isinstance(target, CLASS) else (target,):
                nodes = ast.walk(getattr(f, "args", call.func))
                names = [n.arg for n in nodes if getattr(n, "arg", "self") not in ("self", "cls")]
                pairs = [*zip(names, call.args, strict=False), *((k.arg, k) for k in call.keywords)]
                given = {name for name, value in pairs if name in names and carries(value)}
                yield where, f, frozenset(given | ({"self"} if own or f in inits else set()))


RUNNER = "raypipe.run.runner" if "raypipe.run.runner" in TREES else "raypipe.runner"
entered = [(*find(RUNNER, ast.Name("run")), frozenset(["job"]))]
for each in entered:
    entered += [call for call in dict.fromkeys(calls(*each)) if call not in entered]
wide, lines = {}, sorted(text.count("\n") for text in TEXTS.values())
for _, node in CLASSES:
    family = [c for _, c in CLASSES if c is node or c.name in map(ast.unparse, node.bases)]
    if sum(isinstance(field, ast.AnnAssign) for c in family for field in c.body) > 10:
        wide[node.name] = sum(node.name in types for types in TAKEN)
figures = {
    "modules": len(lines),
    "root_modules": sum(len(path.parts) == 2 and "__" not in path.name for path in TEXTS),
    "largest_module_lines": lines[-1],
    "median_module_lines": lines[len(lines) // 2],
    "functions_that_take_the_job": sum("Job" in types for types in TAKEN),
    "functions_that_take_wide_objects": wide,
    "wide_objects_passed_to_more_than_8": sum(count > 8 for count in wide.values()),
    "files_the_job_enters": len({module for module, *_ in entered}),
}
print(json.dumps(figures, indent=1))
