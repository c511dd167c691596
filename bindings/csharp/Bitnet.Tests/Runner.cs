using System;
using System.Linq;
using System.Reflection;

namespace Bitnet.Tests
{
    /// <summary>A test: a public static method without parameters that throws when it fails.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    public sealed class TestAttribute : Attribute
    {
    }

    /// <summary>Runs every test of this assembly, or those with the names given.</summary>
    public static class Runner
    {
        public static int Main(string[] arguments)
        {
            int passed = 0, failed = 0;
            foreach (MethodInfo test in Tests().Where(one => arguments.Length == 0 || arguments.Contains(one.Name)))
            {
                string name = test.DeclaringType.Name + "." + test.Name;
                var clock = System.Diagnostics.Stopwatch.StartNew();
                try
                {
                    ((Action)test.CreateDelegate(typeof(Action)))();
                    Console.WriteLine("ok      " + name + " (" + clock.ElapsedMilliseconds + " ms)");
                    ++passed;
                }
                catch (Exception exception)
                {
                    Console.WriteLine("FAILED  " + name + ": " + exception);
                    ++failed;
                }
            }
            Console.WriteLine(passed + " passed, " + failed + " failed");
            return failed == 0 && passed > 0 ? 0 : 1;
        }

        private static MethodInfo[] Tests()
        {
            return typeof(Runner).Assembly.GetTypes()
                .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Static))
                .Where(method => method.GetCustomAttributes(typeof(TestAttribute), false).Length > 0)
                .OrderBy(method => method.DeclaringType.Name).ThenBy(method => method.MetadataToken)
                .ToArray();
        }
    }

    /// <summary>What must hold.</summary>
    internal static class Expect
    {
        internal static void True(bool holds, string sentence)
        {
            if (!holds) throw new Exception(sentence);
        }

        internal static void Equal<T>(T expected, T found, string what = "value")
        {
            if (!Equals(expected, found)) throw new Exception($"{what}: found '{found}', expected '{expected}'");
        }

        internal static void Same<T>(T[] expected, T[] found, string what)
        {
            True(expected.SequenceEqual(found),
                $"{what}: found [{string.Join(", ", found)}], expected [{string.Join(", ", expected)}]");
        }

        /// <summary>The exception that the action throws.</summary>
        internal static T Throws<T>(Action action, string part = "") where T : Exception
        {
            try
            {
                action();
            }
            catch (Exception exception)
            {
                if (!(exception is T expected)) throw new Exception($"expected {typeof(T).Name}", exception);
                True(exception.Message.Contains(part), $"'{exception.Message}' does not contain '{part}'");
                return expected;
            }
            throw new Exception($"nothing was thrown, expected {typeof(T).Name}");
        }

        internal static BitnetException Fails(Status status, Action action, string part = "")
        {
            var exception = Throws<BitnetException>(action, part);
            Equal(status, exception.Status, "status of '" + exception.Message + "'");
            True(exception.Message.Length > 0, "there is no sentence");
            return exception;
        }
    }

    /// <summary>Files that the test script makes.</summary>
    internal static class Files
    {
        /// <summary>The small trained model.</summary>
        internal static readonly string Nano = Path("BITNET_NANO");
        /// <summary>One large enough for a long prompt to take seconds; its replies have no end.</summary>
        internal static readonly string Slow = Path("BITNET_SLOW");
        /// <summary>One whose opening logs a warning.</summary>
        internal static readonly string Warned = Path("BITNET_WARNED");
        /// <summary>What the C compiler makes of bitnet.h.</summary>
        internal static readonly string Facts = Path("BITNET_FACTS");
        /// <summary>A folder to write to.</summary>
        internal static readonly string Scratch = Path("BITNET_SCRATCH");

        private static string Path(string variable)
        {
            return Environment.GetEnvironmentVariable(variable) ?? throw new Exception(variable + " is not set");
        }
    }
}
