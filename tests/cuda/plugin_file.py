"""What libbitnet-cuda.so is, without a device: it exports one name, needs neither a driver nor CUDA's libraries to be
opened, has code for the generations it promises, and says in words why no device can be used.

usage: plugin_file.py LIBRARY-VERSION PLUGIN, or LIBRARY-VERSION --missing REASON where it was not built
"""
import ctypes
import re
import subprocess
import sys


class Why(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("status", ctypes.c_int32), ("message", ctypes.c_char * 504)]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_symbols(plugin):
    exported = {line.split()[-1] for line in output("nm", "-D", "--defined-only", plugin).splitlines()}
    assert exported == {"bitnet_device_plugin"}, f"exports {sorted(exported)}"
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", plugin))
    assert not [name for name in needed if "cuda" in name], f"needs {needed}"
    print(f"exports bitnet_device_plugin alone; needs {', '.join(needed)}")


def check_code(plugin):
    """Device code lies in the file as ELF images, each with its generation in its flags' low byte, and as text (PTX)."""
    data = open(plugin, "rb").read()
    generations = set()
    for found in re.finditer(rb"\x7fELF\x02\x01", data[64:]):
        header = data[64 + found.start():][:64]
        machine = int.from_bytes(header[18:20], "little")
        if machine == 190:  # EM_CUDA
            flags = int.from_bytes(header[48:52], "little")
            generations |= {flags & 0xff, flags >> 8 & 0xff}
    missing = {80, 89, 90} - generations
    print(f"device code, by the flags of its images: {sorted(generations)}")
    return missing


def check_reason(plugin, version):
    library = ctypes.CDLL(plugin)
    library.bitnet_device_plugin.restype = ctypes.c_void_p
    table = (ctypes.c_void_p * 4).from_address(library.bitnet_device_plugin())
    built_with = table[0] >> 32
    major, minor, patch = (int(part) for part in version.split("."))
    assert built_with == major << 16 | minor << 8 | patch, f"is of version {built_with:#x}, the library {version}"
    count = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(Why))(table[2])
    devices, why = ctypes.c_int32(-1), Why(size=ctypes.sizeof(Why))
    status = count(ctypes.byref(devices), ctypes.byref(why))
    if status == 0:
        print(f"{devices.value} devices")
    else:
        assert status == -11 and why.status == -11 and len(why.message) > 20, (status, why.message)
        print(f"no device: {why.message.decode()}")


def main():
    version, plugin = sys.argv[1], sys.argv[2]
    if plugin == "--missing":
        print(f"skipped: the CUDA plugin is not built: {sys.argv[3]}")
        return 77
    check_symbols(plugin)
    missing = check_code(plugin)
    if missing:
        print(f"FAILED: no code for sm_{', sm_'.join(map(str, sorted(missing)))}")
        return 1
    check_reason(plugin, version)
    return 0


sys.exit(main())
