"""Runs every command in turn, several rounds, and prints the median of wall time, CPU time and peak memory of each.

CPU and memory are what the operating system accounts to the finished process (wait4), not samples.
"""
import argparse, importlib.metadata, os, platform, shutil, statistics, subprocess, sys, time


def once(command):
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        sys.exit(f"{command[0]} ended with {code}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    for name in ("data", "work", "stoa", "score"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without", default="", help="peers to leave out, by comma")
    options = parser.parse_args()
    data, work = options.data, options.work
    out = f"{work}/stoa"
    shutil.rmtree(out, ignore_errors=True)
    commands = {"stoa": ([options.stoa, "reconcile", f"{data}/left.csv", f"{data}/right.csv", "--rules",
                          "examples/rules/keyed-v1.yaml", "--output", out], f"{out}/links.csv")}
    for peer in ("duckdb", "polars", "pandas"):
        if peer not in options.without.split(","):
            links = f"{work}/links-{peer}.csv"
            commands[peer] = ([sys.executable, f"bench/reconcile/peer_{peer}.py", data, links, str(os.cpu_count())], links)
    results = {name: [] for name in commands}
    for round_number in range(options.runs + 1):
        for name, (command, _) in commands.items():
            measured = once(command)
            if round_number:  # the first round only warms the caches
                results[name].append(measured)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, {time.strftime('%Y-%m-%d')}, {options.runs} runs each, {data}\n")
    print("| | wall s | CPU s | peak MiB | wall ÷ stoa | CPU ÷ stoa | links equal to stoa's |")
    print("|---|---|---|---|---|---|---|")
    own = [statistics.median(column) for column in zip(*results["stoa"])]
    expected = sorted(open(commands["stoa"][1]).read().splitlines())
    for name, (_, links) in commands.items():
        wall, cpu_time, memory = (statistics.median(column) for column in zip(*results[name]))
        equal = "yes" if sorted(open(links).read().splitlines()) == expected else "no"
        version = "" if name == "stoa" else " " + importlib.metadata.version(name)
        print(f"| {name}{version} | {wall:.2f} | {cpu_time:.2f} | {memory:.0f} | {wall / own[0]:.2f} | {cpu_time / own[1]:.2f} | {equal} |")
    print("\nAgainst the truth:", flush=True)
    subprocess.run([options.score, "score", data, commands["stoa"][1]], check=True)


main()
