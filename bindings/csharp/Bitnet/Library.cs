using System;
using System.Collections.Generic;

namespace Bitnet
{
    /// <summary>The library found at run time. Its version is checked at first use: another ABI version, or a version
    /// older than this package's, is a <see cref="BitnetException"/> that names both.</summary>
    public static unsafe class Library
    {
        private static volatile bool fits;

        /// <summary>The version of the library found.</summary>
        public static Version Version
        {
            get
            {
                Require();
                return Found();
            }
        }

        /// <summary>The same as text, as the library spells it.</summary>
        public static string VersionText
        {
            get
            {
                Require();
                return Utf8.Text(Native.bitnet_version_string());
            }
        }

        /// <summary>The ABI version of the library found, which is the number in its file name.</summary>
        public static int AbiVersion
        {
            get
            {
                Require();
                return (int)Native.bitnet_abi_version();
            }
        }

        /// <summary>The version of the library this package was made for.</summary>
        public static Version PackageVersion { get; } =
            new Version(Native.BITNET_VERSION_MAJOR, Native.BITNET_VERSION_MINOR, Native.BITNET_VERSION_PATCH);

        /// <summary>The library's name for a status, as its manual has it: "BITNET_E_FORMAT".</summary>
        public static string NameOf(Status status)
        {
            Require();
            return Utf8.Text(Native.bitnet_status_name((bitnet_status)status));
        }

        /// <summary>To be called before the first other call.</summary>
        internal static void Require()
        {
            if (fits) return;
            Check();
            fits = true;
        }

        private static void Check()
        {
            string advice = $"install libbitnet {PackageVersion} or a later version with ABI version "
                + $"{Native.BITNET_ABI_VERSION}, or let LD_LIBRARY_PATH name its folder";
            int abi;
            try
            {
                abi = (int)Native.bitnet_abi_version();
            }
            catch (DllNotFoundException notFound)
            {
                string sentence = $"{Native.Library} was not found, or cannot be loaded: {advice}";
                throw new DllNotFoundException(sentence, notFound);
            }
            if (abi != Native.BITNET_ABI_VERSION)
            {
                throw new BitnetException(Status.Unsupported, $"{Native.Library} has ABI version {abi}, this package "
                    + $"needs ABI version {Native.BITNET_ABI_VERSION}: {advice}");
            }
            if (Found() < PackageVersion)
            {
                throw new BitnetException(Status.Unsupported, $"{Native.Library} is version {Found()}, this package "
                    + $"needs version {PackageVersion}: {advice}");
            }
        }

        private static Version Found()
        {
            uint version = Native.bitnet_version();
            return new Version((int)(version >> 16), (int)(version >> 8 & 255), (int)(version & 255));
        }
    }

    /// <summary>What this machine can do.</summary>
    public static unsafe class Machine
    {
        /// <summary>Names for <see cref="ModelOptions.InstructionSet"/> that this processor runs, the plainest
        /// first.</summary>
        public static IReadOnlyList<string> InstructionSets
        {
            get
            {
                Library.Require();
                var names = new string[Native.bitnet_isa_count()];
                for (int i = 0; i < names.Length; ++i) names[i] = Utf8.Text(Native.bitnet_isa_name(i));
                return names;
            }
        }

        /// <summary>The CPU, which is the first, and the CUDA devices. If none of these can be used, one called
        /// "cuda" says why. The driver is asked anew, which the first time may take a second.</summary>
        public static IReadOnlyList<DeviceInfo> Devices
        {
            get
            {
                Library.Require();
                var devices = new DeviceInfo[Native.bitnet_device_count()];
                for (int i = 0; i < devices.Length; ++i)
                {
                    bitnet_error why = Why.Empty();
                    var info = new bitnet_device_info { size = (uint)sizeof(bitnet_device_info) };
                    Why.Check(Native.bitnet_device_get_info(i, &info, &why), &why);
                    devices[i] = new DeviceInfo(&info);
                }
                return devices;
            }
        }

        /// <summary>Measures what this machine does at best, to hold figures against. Takes seconds and 512 MB.
        /// Experimental: may change until 1.0.</summary>
        /// <param name="threads">How many to measure with; 0: as many as there are cores.</param>
        /// <param name="instructionSet">One of <see cref="InstructionSets"/>; null: the best.</param>
        /// <exception cref="BitnetException"><see cref="Status.Unsupported"/>: no such instruction set
        /// here.</exception>
        public static MachineLimits Measure(int threads = 0, string instructionSet = null)
        {
            Library.Require();
            using (var arguments = new Arguments())
            {
                bitnet_error why = Why.Empty();
                var limits = new bitnet_machine_limits
                {
                    size = (uint)sizeof(bitnet_machine_limits),
                    threads = threads,
                    isa = arguments.Text(instructionSet, nameof(instructionSet)),
                };
                Why.Check(Native.bitnet_machine_measure(&limits, &why), &why);
                return new MachineLimits(limits.stream_gb_per_s, limits.int8_gmac_per_s);
            }
        }
    }

    /// <summary>A device that models can be opened on; see <see cref="Machine.Devices"/>.</summary>
    public sealed unsafe class DeviceInfo
    {
        internal DeviceInfo(bitnet_device_info* info)
        {
            Name = Utf8.Text(info->name);
            Title = Utf8.Text(info->title);
            Usable = info->usable != 0;
            Reason = Usable ? null : Utf8.Text(info->reason);
            MemoryBytes = (long)info->memory_bytes;
            MemoryFree = (long)info->memory_free;
            Processors = info->processors;
        }

        /// <summary>For <see cref="ModelOptions.Device"/>: "cpu", "cuda:0".</summary>
        public string Name { get; }

        /// <summary>What its maker calls it; of the CPU: the best instruction set.</summary>
        public string Title { get; }

        /// <summary>Whether it can be used.</summary>
        public bool Usable { get; }

        /// <summary>Why not, a sentence; null if it can.</summary>
        public string Reason { get; }

        /// <summary>The memory it has; 0: not known, as for the two below.</summary>
        public long MemoryBytes { get; }

        /// <summary>What of it was free when asked.</summary>
        public long MemoryFree { get; }

        /// <summary>Multiprocessors; of the CPU: cores that this process may run on.</summary>
        public int Processors { get; }
    }

    /// <summary>See <see cref="Machine.Measure"/>.</summary>
    public sealed class MachineLimits
    {
        internal MachineLimits(double stream, double int8)
        {
            StreamGigabytesPerSecond = stream;
            Int8GigamacsPerSecond = int8;
        }

        /// <summary>Reading memory, in 10^9 bytes per second.</summary>
        public double StreamGigabytesPerSecond { get; }

        /// <summary>8-bit multiply-adds from registers, 10^9 per second.</summary>
        public double Int8GigamacsPerSecond { get; }
    }
}
