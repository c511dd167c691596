package bitnet

/*
#include <bitnet.h>
*/
import "C"

// ISANames lists the instruction sets that this processor can run, the plainest first: "reference", "baseline", ...
// They are names for ModelOptions.ISA.
func ISANames() []string {
	names := make([]string, C.bitnet_isa_count())
	for i := range names {
		names[i] = C.GoString(C.bitnet_isa_name(C.int32_t(i)))
	}
	return names
}

// DeviceInfo is a device that models can be opened on, or the reason why it cannot be used.
type DeviceInfo struct {
	Name        string // for ModelOptions.Device: "cpu", "cuda:0"
	Title       string // what its maker calls it; of the CPU: the best instruction set
	Usable      bool
	Reason      string // why it cannot be used, a sentence; else ""
	MemoryBytes uint64 // 0: not known, as for the two below
	MemoryFree  uint64 // when asked
	Processors  int32  // multiprocessors; of the CPU: cores that this process may run on
}

// Devices lists the CPU, which is the first, and the CUDA devices. If none of these can be used, one called "cuda" says
// why. The driver is asked anew, which the first time may take a second.
func Devices() ([]DeviceInfo, error) {
	if err := checkLibrary(); err != nil {
		return nil, err
	}
	devices := make([]DeviceInfo, C.bitnet_device_count())
	for i := range devices {
		var d C.bitnet_device_info
		C.bitnet_device_info_init(&d)
		if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
			return C.bitnet_device_get_info(C.int32_t(i), &d, why)
		}); err != nil {
			return nil, err
		}
		devices[i] = DeviceInfo{C.GoString(&d.name[0]), C.GoString(&d.title[0]), d.usable != 0, C.GoString(&d.reason[0]),
			uint64(d.memory_bytes), uint64(d.memory_free), int32(d.processors)}
	}
	return devices, nil
}

// MachineOptions says what to measure with. The zero value is the default.
type MachineOptions struct {
	Threads int32  // 0: as many as there are cores
	ISA     string // "": the best
}

// MachineLimits is what this machine can do at best, for a figure to be held against.
type MachineLimits struct {
	StreamGBPerS float64 // reading memory, 10^9 bytes per second
	Int8GMACPerS float64 // int8 multiply-adds from registers, 10^9 per second
}

// MeasureMachine measures the machine, which takes a few seconds and 512 MB. Experimental: it may change until 1.0.
// ErrUnsupported: there is no such instruction set here.
func MeasureMachine(options *MachineOptions) (MachineLimits, error) {
	if err := checkLibrary(); err != nil {
		return MachineLimits{}, err
	}
	var memory cMemory
	defer memory.free()
	var limits C.bitnet_machine_limits
	C.bitnet_machine_limits_init(&limits)
	if options != nil {
		limits.threads = C.int32_t(options.Threads)
		limits.isa = memory.optional("the option ISA", options.ISA)
	}
	if memory.err != nil {
		return MachineLimits{}, memory.err
	}
	if _, err := call(func(why *C.bitnet_error) C.bitnet_status {
		return C.bitnet_machine_measure(&limits, why)
	}); err != nil {
		return MachineLimits{}, err
	}
	return MachineLimits{float64(limits.stream_gb_per_s), float64(limits.int8_gmac_per_s)}, nil
}
