using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Bitnet.Tests
{
    /// <summary>The raw layer as the runtime lays it out, against what the C compiler makes of bitnet.h.</summary>
    public static class FactsTests
    {
        private const BindingFlags Any =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance;

        private static readonly Type[] Raw = typeof(Model).Assembly.GetTypes()
            .Where(type => type.Name.StartsWith("bitnet_")).ToArray();
        private static readonly Type Native = typeof(Model).Assembly.GetType("Bitnet.Native");

        private static string[] Expected(params string[] words)
        {
            string[] lines = File.ReadAllLines(Files.Facts).Where(line => words.Contains(line.Split(' ')[0])).ToArray();
            Expect.True(lines.Length > 0, Files.Facts + " has no " + words[0]);
            return lines;
        }

        private static void Compare(IEnumerable<string> found, string[] expected)
        {
            string[] all = found.ToArray();
            string[] differences = expected.Except(all).Select(line => "missing: " + line)
                .Concat(all.Except(expected).Select(line => "not in C: " + line)).ToArray();
            Expect.True(differences.Length == 0, string.Join("\n", differences));
            Expect.Equal(expected.Length, all.Length, "how many there are");
        }

        [Test]
        public static void StructsLieAsInC()
        {
            var found = new List<string>();
            foreach (Type type in Raw.Where(type => type.IsValueType && !type.IsEnum && type.GetFields(Any).Length > 0))
            {
                FieldInfo[] fields = type.GetFields(Any);
                found.Add($"struct {type.Name} {Marshal.SizeOf(type)} {fields.Max(field => Alignment(field))}");
                foreach (FieldInfo field in fields)
                {
                    found.Add($"field {type.Name} {field.Name} {Marshal.OffsetOf(type, field.Name)} {Size(field)}");
                }
            }
            Compare(found, Expected("struct", "field"));
        }

        [Test]
        public static void ElementsOfArraysLieAsTheRawOnes()
        {
            Alike(typeof(BatchEntry), "bitnet_batch_entry");
            Alike(typeof(LogitBias), "bitnet_logit_bias");
        }

        private static void Alike(Type type, string rawName)
        {
            Type raw = Raw.Single(one => one.Name == rawName);
            Expect.Equal(Marshal.SizeOf(raw), Marshal.SizeOf(type), "size of " + type.Name);
            foreach (FieldInfo field in raw.GetFields(Any))
            {
                string name = char.ToUpperInvariant(field.Name[0]) + field.Name.Substring(1);
                Expect.Equal(Marshal.OffsetOf(raw, field.Name), Marshal.OffsetOf(type, name), "offset of " + name);
            }
        }

        private static int Alignment(FieldInfo field)
        {
            return SizeOf(Element(field)?.ElementType ?? field.FieldType);
        }

        private static int Size(FieldInfo field)
        {
            FixedBufferAttribute array = Element(field);
            return array == null ? SizeOf(field.FieldType) : array.Length * SizeOf(array.ElementType);
        }

        private static FixedBufferAttribute Element(FieldInfo field)
        {
            return field.GetCustomAttribute<FixedBufferAttribute>();
        }

        private static int SizeOf(Type type)
        {
            return type.IsPointer ? IntPtr.Size : Marshal.SizeOf(type);
        }

        [Test]
        public static void NumbersAreThoseOfC()
        {
            IEnumerable<FieldInfo> members = Raw.Where(type => type.IsEnum)
                .SelectMany(type => type.GetFields(BindingFlags.Public | BindingFlags.Static));
            IEnumerable<FieldInfo> others = Native.GetFields(Any).Where(field => field.Name.StartsWith("BITNET_"));
            IEnumerable<string> found = members.Concat(others)
                .Select(field => $"constant {field.Name} {Convert.ToInt64(field.GetRawConstantValue())}");
            Compare(found, Expected("constant"));
        }

        [Test]
        public static void SignaturesAreThoseOfC()
        {
            Compare(Calls().Select(method => "function " + method.Name + Signature(method)), Expected("function"));
        }

        [Test]
        public static void CallbacksAreThoseOfC()
        {
            IEnumerable<string> found = Raw.Where(type => typeof(Delegate).IsAssignableFrom(type)).Select(type =>
                "callback " + type.Name.Replace("bitnet_source_read_at", "bitnet_source.read_at")
                + Signature(type.GetMethod("Invoke")));
            Compare(found, Expected("callback"));
        }

        private static IEnumerable<MethodInfo> Calls()
        {
            return Native.GetMethods(Any).Where(method => method.Name.StartsWith("bitnet_"));
        }

        private static string Signature(MethodInfo method)
        {
            return string.Concat(new[] { method.ReturnType }
                .Concat(method.GetParameters().Select(parameter => parameter.ParameterType))
                .Select(type => " " + Class(type)));
        }

        private static string Class(Type type)
        {
            if (type.IsPointer || type == typeof(IntPtr)) return "ptr";
            if (type.IsEnum) type = Enum.GetUnderlyingType(type);
            var classes = new Dictionary<Type, string>
            {
                { typeof(void), "void" }, { typeof(int), "i32" }, { typeof(uint), "u32" }, { typeof(ulong), "u64" },
                { typeof(float), "f32" }, { typeof(double), "f64" },
            };
            return classes[type];
        }

        [Test]
        public static void CallsAreFoundInTheLibrary()
        {
            foreach (MethodInfo method in Calls()) Marshal.Prelink(method);
        }

        [Test]
        public static void PublicNumbersHaveAllMembers()
        {
            AllOf<Status>("bitnet_status");
            AllOf<LogLevel>("bitnet_log_level");
            AllOf<I2SLayout>("bitnet_i2s_layout");
            AllOf<Activation>("bitnet_activation");
            AllOf<Weights>("bitnet_weights");
            AllOf<Head>("bitnet_head");
            AllOf<EndReason>("bitnet_end_reason");
            AllFlags<ModelFlags>("BITNET_MODEL_");
            AllFlags<TokenizeFlags>("BITNET_TOKENIZE_");
            AllFlags<Want>("BITNET_WANT_");
        }

        private static void AllOf<T>(string raw)
        {
            const int widthOnly = int.MaxValue; // BITNET_..._INT32, never used
            int[] expected = Raw.Single(type => type.Name == raw).GetFields(BindingFlags.Public | BindingFlags.Static)
                .Select(field => (int)field.GetRawConstantValue()).Where(value => value != widthOnly).ToArray();
            Expect.Same(expected.OrderBy(value => value).ToArray(),
                Enum.GetValues(typeof(T)).Cast<int>().OrderBy(value => value).ToArray(), raw);
        }

        private static void AllFlags<T>(string prefix)
        {
            uint[] expected = Native.GetFields(Any).Where(field => field.Name.StartsWith(prefix))
                .Select(field => (uint)field.GetRawConstantValue()).ToArray();
            Expect.Same(new uint[] { 0 }.Concat(expected).OrderBy(value => value).ToArray(),
                Enum.GetValues(typeof(T)).Cast<uint>().OrderBy(value => value).ToArray(), prefix);
        }

        [Test]
        public static void VersionsAgree()
        {
            Expect.Equal(Expected("version")[0].Split(' ')[1], Library.PackageVersion.ToString(), "the package");
            Expect.Equal(Library.PackageVersion, Library.Version, "the library");
            Expect.Equal(Library.VersionText, Library.Version.ToString(), "the library's version as text");
            Expect.Equal(0, Library.AbiVersion, "the ABI version");
        }
    }
}
