"""Griffe extension: the fields of a model as one table in the API reference, defaults as numbers.

Of the two that can be installed, griffe-pydantic 1.3 shows names of constants as defaults and
stops at `__hash__ = None`; griffe-fieldz 0.5 calls default factories, so that the builder's
environment would be in the reference, and reads "768*768" as a product.
"""

from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from griffe import (
    Class,
    Docstring,
    DocstringParameter,
    DocstringSectionAttributes,
    DocstringSectionParameters,
    Expr,
    Extension,
    Module,
    parse_docstring_annotation,
)
from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Fields(Extension):
    """Move the fields of each model to a section of its docstring; spell constants out."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Take every class of the package, once it is read."""
        for module in _modules(pkg):
            for found in module.classes.values():
                if not found.is_alias:
                    _tabulate(found)
                    _spell_out(found)


def _modules(module: Module) -> list[Module]:
    inner = [one for one in module.modules.values() if not one.is_alias]
    return [module, *(found for one in inner for found in _modules(one))]


def _tabulate(model: Class) -> None:
    runtime = getattr(import_module(model.module.path), model.name)
    if not issubclass(runtime, BaseModel) or model.docstring is None:
        return
    told = _told(model.docstring)
    own = {name: one for name, one in runtime.model_fields.items() if name in model.members}
    fields = [
        _row(name, field, model.docstring, told)
        for name, field in own.items()
        if field.description or not _is_inherited(name, runtime)
    ]
    for name in {"model_config", *own} & {*model.members}:
        del model.members[name]
    if fields:
        model.docstring.parsed.insert(1, DocstringSectionParameters(fields, title="Fields:"))


def _is_inherited(name: str, model: type[BaseModel]) -> bool:
    """Say whether a field of a base is only given another default: LangChain documents it."""
    return any(name in getattr(base, "model_fields", {}) for base in model.__bases__)


def _spell_out(found: Class) -> None:
    """Put the number in the place of a constant's name, where a parameter has it as default."""
    constants = vars(import_module(found.module.path))
    for function in found.functions.values():
        for parameter in [] if function.is_alias else function.parameters:
            value = constants.get(str(parameter.default))
            if isinstance(value, int | float):
                parameter.default = repr(value)


def _told(docstring: Docstring) -> dict[str, str]:
    """Take the section `Attributes:` away, and return what it says of each."""
    sections = [one for one in docstring.parsed if isinstance(one, DocstringSectionAttributes)]
    for section in sections:
        docstring.parsed.remove(section)
    return {one.name: one.description for section in sections for one in section.value}


def _annotation(kind: Any, docstring: Docstring) -> str | Expr | None:
    """Return a type to be linked; a literal's strings would be read as types."""
    text = _spelled(kind)
    return text if "Literal" in text else parse_docstring_annotation(text, docstring)


def _spelled(kind: Any) -> str:
    """Write a type as a reader needs it: aliases resolved, validators left out."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _spelled(inner[0])
    if origin in {Union, UnionType}:
        return " | ".join(_spelled(one) for one in inner)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, inner))}]"
    name = "None" if kind is NoneType else kind.__name__
    return f"{name}[{', '.join(map(_spelled, inner))}]" if inner else name


def _row(
    name: str, field: FieldInfo, docstring: Docstring, told: dict[str, str]
) -> DocstringParameter:
    computed = field.default_factory is not None
    default = None if computed or field.is_required() else repr(field.default)
    return DocstringParameter(
        name,
        annotation=_annotation(field.annotation, docstring),
        description=(field.description or told.get(name, "")).replace("*", r"\*"),
        value="…" if computed else default,
    )
