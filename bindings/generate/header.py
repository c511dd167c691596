"""include/bitnet.h as data: what libclang reads in it, for the emitters beside this file."""
import re
from dataclasses import dataclass, field as dataclass_field

from clang import cindex

# The numbers of bitnet.h, by their C spelling; everything else is a pointer or a named type. What else C has raises
# ValueError: the emitters would leave it out, or take it for something it is not.
NUMBERS = {
    "int": "i32", "int32_t": "i32", "uint32_t": "u32", "uint64_t": "u64",
    "float": "f32", "double": "f64", "char": "i8",
}


class Unavailable(Exception):
    """A generator's tool is missing, or is another version than the one whose output is checked in."""


@dataclass
class Type:
    c: str  # as C spells it, without const of the value itself
    # "void", a class of NUMBERS, "enum", "struct" (by value), "opaque" (behind a pointer only),
    # "callback", "array" or "ptr"
    kind: str
    name: str = ""  # of the struct, enum or callback type, "" for others
    const: bool = False  # what a pointer points to, may not be written through it
    target: "Type" = None  # of a pointer or an array
    count: int = 0  # of an array

    @property
    def fact(self):
        """The class the facts state: how the value travels."""
        return {"enum": "i32", "callback": "ptr", "opaque": "ptr"}.get(self.kind, self.kind)


@dataclass
class Value:
    """A parameter, or a field of a struct; offset and size in bytes are a field's."""
    name: str
    type: Type
    doc: str = ""
    offset: int = 0
    size: int = 0


@dataclass
class Struct:
    name: str
    doc: str
    size: int
    align: int
    fields: list


@dataclass
class Constant:
    name: str
    value: int
    doc: str
    flag: bool = False  # a member of an enumeration without a name: bits to be or-ed


@dataclass
class Enum:
    name: str  # "" for one without a name, which holds flags
    doc: str
    members: list


@dataclass
class Function:
    """A call, or a callback type (name of its typedef, or STRUCT.FIELD)."""
    name: str
    doc: str
    result: Type
    parameters: list


@dataclass
class Header:
    version: str = ""
    macros: dict = dataclass_field(default_factory=dict)  # BITNET_VERSION_*, BITNET_ABI_VERSION
    opaque: dict = dataclass_field(default_factory=dict)  # name of a handle: its doc
    enums: list = dataclass_field(default_factory=list)
    structs: list = dataclass_field(default_factory=list)
    functions: list = dataclass_field(default_factory=list)
    callbacks: list = dataclass_field(default_factory=list)

    def constants(self):
        """Every number with a name, in the header's order: enumerations, then the version macros."""
        for enum in self.enums:
            yield from enum.members
        for name, value in self.macros.items():
            yield Constant(name, value, "")


class Comments:
    """Which comment belongs to which declaration: one that begins behind it on its last line, else one that ends on
    the line before it."""

    def __init__(self, unit):
        self.by_first_line = {}
        self.by_last_line = {}
        for token in unit.get_tokens(extent=unit.cursor.extent):
            if token.kind == cindex.TokenKind.COMMENT:
                self.by_first_line.setdefault(token.extent.start.line, []).append(token)
                self.by_last_line[token.extent.end.line] = token
        self.trailing = set()

    @staticmethod
    def text(token):
        """The words of a comment; its line breaks and indentation beyond the first column are kept."""
        lines = token.spelling[2:-2].split("\n")
        lines = [re.sub(r"^\s*\* ?", "", line) if i else line.lstrip() for i, line in enumerate(lines)]
        return "\n".join(line.rstrip() for line in lines).strip()

    def of(self, cursor):
        end = cursor.extent.end
        for token in self.by_first_line.get(end.line, []):
            if token.extent.start.column >= end.column:
                self.trailing.add(token.extent.start.offset)
                return self.text(token)
        above = self.by_last_line.get(cursor.extent.start.line - 1)
        if above is None or above.extent.start.offset in self.trailing:
            return ""
        text = self.text(above)
        return "" if re.match(r"-{4}", text) else text


def is_callback(clang_type):
    return clang_type.get_canonical().get_pointee().kind == cindex.TypeKind.FUNCTIONPROTO


def type_of(clang_type):
    kind = clang_type.kind
    c = re.sub(r"\bconst$", "", clang_type.spelling).strip()
    c = re.sub(r"^const (?!.*\*)", "", c)
    if kind == cindex.TypeKind.ELABORATED:
        return type_of(clang_type.get_named_type())
    if kind == cindex.TypeKind.TYPEDEF:
        if c in NUMBERS:
            return Type(c, NUMBERS[c])
        underlying = clang_type.get_canonical()
        if underlying.kind == cindex.TypeKind.ENUM:
            return Type(c, "enum", c)
        if underlying.kind == cindex.TypeKind.RECORD:
            whole = underlying.get_declaration().is_definition()
            return Type(c, "struct" if whole else "opaque", c)
        if is_callback(underlying):
            return Type(c, "callback", c)
    if kind == cindex.TypeKind.ENUM:
        return Type(c, "enum", c)
    if kind == cindex.TypeKind.RECORD:
        name = clang_type.get_declaration().spelling
        return Type(name, "struct" if clang_type.get_declaration().is_definition() else "opaque", name)
    if kind == cindex.TypeKind.POINTER:
        if is_callback(clang_type):
            return Type(c, "callback")
        pointee = clang_type.get_pointee()
        return Type(c, "ptr", const=pointee.is_const_qualified(), target=passed(pointee))
    if kind == cindex.TypeKind.CONSTANTARRAY:
        return Type(c, "array", target=type_of(clang_type.element_type), count=clang_type.element_count)
    if kind == cindex.TypeKind.VOID:
        return Type("void", "void")
    if c in NUMBERS:
        return Type(c, NUMBERS[c])
    raise ValueError(f"the type {clang_type.spelling} ({kind.name}) is none that generate/header.py knows")


def passed(clang_type):
    """The type of a parameter or of what a pointer points to; arrays are fields only."""
    if clang_type.get_canonical().kind in (cindex.TypeKind.CONSTANTARRAY, cindex.TypeKind.INCOMPLETEARRAY):
        raise ValueError(f"{clang_type.spelling} is an array that is no field of a struct: make it a pointer")
    return type_of(clang_type)


def parameters_of(cursor, prototype):
    """Of a function, a callback typedef or a field that is one."""
    if prototype.is_function_variadic():
        raise ValueError(f"{cursor.spelling} takes any number of parameters")
    return [Value(child.spelling, passed(child.type)) for child in cursor.get_children()
            if child.kind == cindex.CursorKind.PARM_DECL]


def callback_of(cursor, name, doc):
    prototype = cursor.type.get_canonical().get_pointee()
    return Function(name, doc, type_of(prototype.get_result()), parameters_of(cursor, prototype))


def read(path):
    """Reads the header; raises ValueError with a sentence when it is not as expected."""
    unit = cindex.Index.create().parse(
        path, args=["-x", "c", "-std=c99"],
        options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
    errors = [d for d in unit.diagnostics if d.severity >= cindex.Diagnostic.Error]
    if errors:
        raise ValueError(f"{path} does not compile: {errors[0]}")
    comments = Comments(unit)
    header = Header()
    for cursor in unit.cursor.get_children():
        if cursor.location.file and cursor.location.file.name == path:
            try:
                add(header, cursor, comments)
            except ValueError as error:
                raise ValueError(f"{path}:{cursor.location.line}: {error}") from None
    number = header.macros
    header.version = (f"{number['BITNET_VERSION_MAJOR']}.{number['BITNET_VERSION_MINOR']}."
                      f"{number['BITNET_VERSION_PATCH']}")
    if len(header.functions) < 40 or len(header.structs) < 10:
        raise ValueError(f"{path}: only {len(header.functions)} calls and {len(header.structs)} structs were found")
    return header


def add(header, cursor, comments):
    kind = cursor.kind
    if kind == cindex.CursorKind.MACRO_DEFINITION:
        add_macro(header, cursor)
    elif kind == cindex.CursorKind.FUNCTION_DECL:
        add_function(header, cursor, comments)
    elif kind == cindex.CursorKind.ENUM_DECL:
        name = cursor.spelling if re.match(r"bitnet_\w+$", cursor.spelling) else ""
        doc = comments.of(cursor)
        header.enums.append(Enum(name, doc, [
            Constant(member.spelling, member.enum_value, comments.of(member), flag=not name)
            for member in cursor.get_children()]))
    elif kind == cindex.CursorKind.STRUCT_DECL:
        add_struct(header, cursor, comments)
    elif kind == cindex.CursorKind.TYPEDEF_DECL:
        add_typedef(header, cursor, comments)
    elif kind not in (cindex.CursorKind.MACRO_INSTANTIATION, cindex.CursorKind.INCLUSION_DIRECTIVE):
        raise ValueError(unknown(cursor))


def unknown(cursor):
    return f"{cursor.spelling or 'what stands here'} is a {cursor.kind.name}, for which generate/header.py has no place"


def add_macro(header, cursor):
    name, tokens = cursor.spelling, [token.spelling for token in cursor.get_tokens()]
    if re.match(r"BITNET_(VERSION_|ABI_VERSION)", name):
        header.macros[name] = int(tokens[1])
    elif name not in ("BITNET_H", "BITNET_API") and not name.endswith("_INIT"):
        raise ValueError(f"the macro {name} is no version and no ..._INIT: other languages see constants only as "
                         "members of an enum")


def add_function(header, cursor, comments):
    name = cursor.spelling
    if cursor.storage_class != cindex.StorageClass.STATIC:
        header.functions.append(Function(name, comments.of(cursor), type_of(cursor.result_type),
                                         parameters_of(cursor, cursor.type)))
    elif not name.endswith("_init"):  # those only set `size` and zeros, which other languages do themselves
        raise ValueError(f"{name} is static and no ..._init function: other languages cannot call it")


def add_struct(header, cursor, comments):
    name, doc = cursor.spelling, comments.of(cursor)
    if not cursor.is_definition():
        # The doc stands above the typedef, which begins on the same line.
        header.opaque[name] = doc
        return
    fields = []
    for child in cursor.get_children():
        if child.kind != cindex.CursorKind.FIELD_DECL:
            raise ValueError(f"within {name}, {unknown(child)}")
        if child.is_bitfield():
            raise ValueError(f"{name}.{child.spelling} is a bit-field, which only C can place")
        fields.append(Value(child.spelling, type_of(child.type), comments.of(child),
                            cursor.type.get_offset(child.spelling) // 8, child.type.get_size()))
        if fields[-1].type.kind == "callback" and not fields[-1].type.name:
            header.callbacks.append(callback_of(child, f"{name}.{child.spelling}", fields[-1].doc))
    header.structs.append(Struct(name, doc, cursor.type.get_size(), cursor.type.get_align(), fields))


def add_typedef(header, cursor, comments):
    name, underlying = cursor.spelling, cursor.underlying_typedef_type
    if underlying.kind == cindex.TypeKind.POINTER and is_callback(underlying):
        header.callbacks.append(callback_of(cursor, name, comments.of(cursor)))
    elif underlying.get_canonical().get_declaration().spelling != name:
        raise ValueError(f"{name} is another name for {underlying.spelling}: typedefs are of structs and enums of the "
                         "same name, and of pointers to functions")
