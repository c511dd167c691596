"""What a public header offers, as a compiler sees it: the side of an ABI that a library's debug information does not
have. Reads with libclang (python3-clang), always for x86-64 Linux, so that every machine compares the same numbers.
"""
import re
from collections import namedtuple

from clang import cindex
from clang.cindex import CursorKind, TokenKind, TypeKind

Function = namedtuple("Function", "result parameters")        # spellings of types, typedefs resolved
Struct = namedtuple("Struct", "size alignment fields")        # size is None where it is opaque
Field = namedtuple("Field", "name offset size type")          # in bytes
Enum = namedtuple("Enum", "type members")                     # the integer behind it; name: number

# Whose size is the same wherever the library runs.
NUMBERS = {"void", "char", "int", "float", "double",
           *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64))}
BEHIND_THE_HEADER = {CursorKind.MACRO_INSTANTIATION, CursorKind.INCLUSION_DIRECTIVE}


class Surface:
    """Everything a program can have taken from the header, by name."""

    def __init__(self, path):
        self.functions, self.structs, self.enums = {}, {}, {}
        self.inits = {}      # functions with a body: its tokens and their first parameter's name
        self.unknown = []    # what these checks could not compare, in sentences
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
            self._add_function(cursor)
        elif cursor.kind == CursorKind.STRUCT_DECL:
            self._add_struct(cursor)
        elif cursor.kind == CursorKind.ENUM_DECL:
            members = {member.spelling: member.enum_value for member in cursor.get_children()}
            if cursor.spelling.startswith("bitnet_"):
                self.enums[cursor.spelling] = Enum(cursor.enum_type.spelling, members)
            else:
                self.flags.append(members)
        elif cursor.kind == CursorKind.TYPEDEF_DECL:
            self._add_typedef(cursor)
        elif cursor.kind == CursorKind.MACRO_DEFINITION:
            self.macros[cursor.spelling] = _tokens(cursor)[1:]
        elif cursor.kind not in BEHIND_THE_HEADER:
            self._refuse(cursor)

    def _refuse(self, cursor, of=""):
        name, what = cursor.spelling or "what stands here", cursor.kind.name.lower().replace("_", " ")
        self.unknown.append(f"bitnet.h:{cursor.location.line}: {of}{name} is a {what}: a header that other languages "
                            "read has none, and these checks could not compare it")

    def _type(self, kind, where):
        for word in re.findall(r"[A-Za-z_]\w*", kind.spelling):
            if word not in NUMBERS | {"const", "struct", "enum"} and not word.startswith("bitnet_"):
                self.unknown.append(f"{where} has the type {kind.spelling}: {word} is not the same everywhere; "
                                    "numbers are char, int, float, double and those of stdint.h that tell their width")
        return _spelling(kind)

    def _add_function(self, cursor):
        name, parameters = cursor.spelling, list(cursor.get_arguments())
        self.functions[name] = Function(self._type(cursor.result_type, name),
                                        tuple(self._type(parameter.type, name) for parameter in parameters))
        for body in cursor.get_children():
            if body.kind == CursorKind.COMPOUND_STMT:
                self.inits[name] = (_tokens(body), parameters[0].spelling if parameters else "")
        if cursor.type.kind == TypeKind.FUNCTIONPROTO and cursor.type.is_function_variadic():
            self.unknown.append(f"{name} takes any number of parameters, which other languages cannot call")

    def _add_typedef(self, cursor):
        name, underlying = cursor.spelling, cursor.underlying_typedef_type
        if underlying.get_pointee().get_canonical().kind == TypeKind.FUNCTIONPROTO:
            self.types[name] = self._type(underlying, name)
        elif underlying.get_canonical().get_declaration().spelling != name:
            self.unknown.append(f"{name} is another name for {underlying.spelling}: typedefs are of structs, enums and "
                                "pointers to functions; programs and bindings could not tell when it changes")

    def _add_struct(self, cursor):
        if not cursor.is_definition():
            self.structs.setdefault(cursor.spelling, Struct(None, None, ()))
            return
        name, fields = cursor.spelling, []
        for field in cursor.get_children():
            if field.kind != CursorKind.FIELD_DECL:
                self._refuse(field, f"within {name}, ")
                continue
            if field.is_bitfield():
                self.unknown.append(f"{name}.{field.spelling} is a bit-field: compilers place these as they like")
            fields.append(Field(field.spelling, cursor.type.get_offset(field.spelling) // 8, field.type.get_size(),
                                self._type(field.type, f"{name}.{field.spelling}")))
        self.structs[name] = Struct(cursor.type.get_size(), cursor.type.get_align(), tuple(fields))


def _tokens(cursor):
    return [token.spelling for token in cursor.get_tokens() if token.kind != TokenKind.COMMENT]


def _spelling(kind):
    """With typedefs resolved, but in the header's words."""
    spelling = re.sub(r"\b(struct|enum) ", "", kind.get_canonical().spelling)
    return spelling.replace("unsigned long", "uint64_t").replace("unsigned int", "uint32_t")
