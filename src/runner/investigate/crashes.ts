import { type Analyser, found, matchWithin } from './seen.ts';

/** `TypeError: …` with the calls below it. Where it is ours is the first call that is no library's. */
const javaScript: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, name, said] = /^(?:Uncaught )?((?:[A-Z]\w*)?(?:Error|Exception))(?: \[\w+\])?: (.*)$/.exec(text) ?? [];
    if (name === undefined || !matchWithin(lines, at + 1, 5, /^\s+at \S/)) return [];
    const [, file, line] =
      matchWithin(lines, at + 1, 20, /^\s+at (?:.*\()?(?:file:\/\/)?((?!node:)(?:(?!node_modules)[^():\s])+):(\d+):\d+\)?$/) ?? [];
    return [found('crash', name, `${name}: ${said}`, 2, file, line)];
  });

/** The last line says what it was, the last `File` where. */
const python: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    if (text.trim() !== 'Traceback (most recent call last):') return [];
    const length = lines.slice(at + 1, at + 200).findIndex((line) => /^[A-Za-z_][\w.]*(?::.*)?$/.test(line));
    if (length < 0) return [];
    const said = lines[at + 1 + length] as string;
    const [, file, line] =
      lines
        .slice(at + 1, at + 1 + length)
        .map((each) => /^\s+File "(.+?)", line (\d+)/.exec(each))
        .findLast((match) => match !== null) ?? [];
    return [found('crash', said.split(':')[0] as string, said, 2, file, line)];
  });

const java: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, name, said = ''] = /^(?:Exception in thread "[^"]*" |Caused by: )((?:[a-z]\w*\.)+[A-Z][\w$]*)(?:: (.*))?$/.exec(text) ?? [];
    if (name === undefined) return [];
    const [, file, line] = matchWithin(lines, at + 1, 3, /^\s+at (?:\S+)\((\w+\.(?:java|kt)):(\d+)\)$/) ?? [];
    return [found('crash', name, `${name}: ${said}`, 2, file, line)];
  });

const go: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const said = /^(?:panic|fatal error): (.+?)(?: \[recovered\])?$/.exec(text)?.[1];
    if (said === undefined || !matchWithin(lines, at + 1, 6, /^goroutine \d+/)) return [];
    const [, file, line] = matchWithin(lines, at + 1, 30, /^\t((?!\/usr\/)\S+?\.go):(\d+)(?: |$)/) ?? [];
    return [found('crash', 'panic', said, 2, file, line)];
  });

/** Since Rust 1.73 the message stands on the line below. */
const rust: Analyser = ({ lines }) =>
  lines.flatMap((text, at) => {
    const [, before, file, line] = /^thread '.*?'(?: \(\d+\))? panicked at (?:'(.*)', )?(\S+?):(\d+):\d+:?$/.exec(text) ?? [];
    return file === undefined ? [] : [found('crash', 'panic', before ?? lines[at + 1] ?? 'panicked', 2, file, line)];
  });

const languages: readonly Analyser[] = [javaScript, python, java, go, rust];

export const crashes: Analyser = (seen) => languages.flatMap((language) => language(seen));
