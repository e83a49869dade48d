internal import ArgumentParser
internal import Backup
internal import ControlClient
internal import Daemon
internal import Glibc

/// Runs what the arguments say, tells failures in one line, and ends the process.
func runCommandLine() -> Never {
    // A file that reaches the limit of its size is a full disk (setrlimit(2)).
    _ = signal(SIGXFSZ, SIG_IGN)
    do {
        try refuseUnknownCommand(CommandLine.arguments.dropFirst())
        var command = try Nearhub.parseAsRoot()
        try command.run()
        exit(ExitStatus.done.rawValue)
    } catch let failure as Failure {
        failure.end()
    } catch let error as ControlError {
        Failure(error).end()
    } catch let error as DaemonError {
        Failure(error).end()
    } catch let error as BackupError {
        Failure(error).end()
    } catch {
        // What is left comes from ArgumentParser: wrong usage, or help, the version and plain exit codes.
        guard Nearhub.exitCode(for: error).rawValue == ExitStatus.usage.rawValue else { Nearhub.exit(withError: error) }
        let message = Nearhub.message(for: error)
        let sentence = message.hasSuffix(".") ? message.dropLast() : message[...]
        Failure(.usage, "usage", String(sentence), helpAdvice(error)).end()
    }
}

/// Refuses a command that does not exist: with --help ArgumentParser would explain the one above it, with status 0.
private func refuseUnknownCommand(_ arguments: ArraySlice<String>) throws(Failure) {
    var (command, path): (any ParsableCommand.Type, String) = (Nearhub.self, "nearhub")
    for argument in arguments.first == "help" ? arguments.dropFirst() : arguments {
        let known = command.configuration.subcommands
        guard !known.isEmpty, !argument.hasPrefix("-") else { return }
        guard let next = known.first(where: { $0._commandName == argument }) else {
            throw Failure(.usage, "usage", "Unexpected argument '\(argument)'", "see \"\(path) --help\"")
        }
        (command, path) = (next, "\(path) \(argument)")
    }
}

/// Which help explains the command that was mistyped: ArgumentParser says so in the last line of its message.
private func helpAdvice(_ error: any Error) -> String {
    let parts = Nearhub.fullMessage(for: error).split(separator: "'")
    let command = parts.last { $0.hasPrefix("nearhub") && $0.hasSuffix("help") } ?? "nearhub --help"
    return "see \"\(command)\""
}
