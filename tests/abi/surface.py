"""What a public header offers, as a compiler sees it: the side of an ABI that a library's debug information does not
have. Reads with libclang (python3-clang), always for x86-64 Linux, so that every machine compares the same numbers.
"""
import re
from collections import namedtuple

from clang import cindex
from clang.cindex import CursorKind, TypeKind

Function = namedtuple("Function", "result parameters")        # spellings of types, typedefs resolved
Struct = namedtuple("Struct", "size alignment fields")        # size is None where it is opaque
Field = namedtuple("Field", "name offset size type")          # in bytes
Enum = namedtuple("Enum", "type members")                     # the integer behind it; name: number


class Surface:
    """Everything a program can have taken from the header, by name."""

    def __init__(self, path):
        self.functions, self.structs, self.enums = {}, {}, {}
        self.flags = []      # enums without a name: {flag: number} of each
        self.types = {}      # other typedefs, which are callbacks
        self.macros = {}     # name: its tokens
        unit = cindex.Index.create().parse(
            str(path), ["-xc", "-std=c99", "-ffreestanding", "--target=x86_64-linux-gnu"],
            options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        errors = [error.format() for error in unit.diagnostics if error.severity >= cindex.Diagnostic.Error]
        if errors:
            raise SystemExit(f"{path} does not compile: {errors[0]}")
        for cursor in unit.cursor.get_children():
            if cursor.location.file and cursor.location.file.name == str(path):
                self._add(cursor)
        self.version = tuple(self._number(f"BITNET_VERSION_{part}") for part in ("MAJOR", "MINOR"))
        self.text = "{}.{}.{}".format(*self.version, self._number("BITNET_VERSION_PATCH"))
        self.abi = self._number("BITNET_ABI_VERSION")

    @property
    def constants(self):
        return {name: number for flags in self.flags for name, number in flags.items()}

    def names(self):
        """Calls, types and flags: what ABI_CHANGELOG.md lists."""
        return {*self.functions, *self.structs, *self.enums, *self.constants, *self.types}

    def _number(self, macro):
        return int(self.macros[macro][0])

    def _add(self, cursor):
        if cursor.kind == CursorKind.FUNCTION_DECL:
            self.functions[cursor.spelling] = Function(
                _spelling(cursor.result_type), tuple(_spelling(p.type) for p in cursor.get_arguments()))
        elif cursor.kind == CursorKind.STRUCT_DECL:
            self._add_struct(cursor)
        elif cursor.kind == CursorKind.ENUM_DECL:
            members = {member.spelling: member.enum_value for member in cursor.get_children()}
            if cursor.spelling.startswith("bitnet_"):
                self.enums[cursor.spelling] = Enum(cursor.enum_type.spelling, members)
            else:
                self.flags.append(members)
        elif cursor.kind == CursorKind.TYPEDEF_DECL:
            underlying = cursor.underlying_typedef_type
            if underlying.kind == TypeKind.POINTER:
                self.types[cursor.spelling] = _spelling(underlying)
        elif cursor.kind == CursorKind.MACRO_DEFINITION and cursor.spelling.startswith("BITNET_"):
            self.macros[cursor.spelling] = [token.spelling for token in cursor.get_tokens()][1:]

    def _add_struct(self, cursor):
        if not cursor.is_definition():
            self.structs.setdefault(cursor.spelling, Struct(None, None, ()))
            return
        fields = tuple(
            Field(field.spelling, cursor.type.get_offset(field.spelling) // 8, field.type.get_size(),
                  _spelling(field.type))
            for field in cursor.get_children() if field.kind == CursorKind.FIELD_DECL)
        self.structs[cursor.spelling] = Struct(cursor.type.get_size(), cursor.type.get_align(), fields)


def _spelling(kind):
    """With typedefs resolved, but in the header's words."""
    spelling = re.sub(r"\b(struct|enum) ", "", kind.get_canonical().spelling)
    return spelling.replace("unsigned long", "uint64_t").replace("unsigned int", "uint32_t")
