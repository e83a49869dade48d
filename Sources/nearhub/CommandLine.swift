internal import ArgumentParser
internal import ControlClient
internal import Glibc

/// Runs what the arguments say, tells failures in one line, and ends the process.
func runCommandLine() -> Never {
    do {
        var command = try Nearhub.parseAsRoot()
        try command.run()
        exit(ExitStatus.done)
    } catch let failure as Failure {
        failure.report()
        exit(failure.status)
    } catch let error as ControlError {
        let failure = Failure(error)
        failure.report()
        exit(failure.status)
    } catch  where Nearhub.exitCode(for: error).rawValue == ExitStatus.usage {
        let message = Nearhub.message(for: error)
        let failure = Failure(
            ExitStatus.usage, "usage", String(message.hasSuffix(".") ? message.dropLast() : message[...]),
            helpAdvice(error))
        failure.report()
        exit(failure.status)
    } catch {
        // Help, version and plain exit codes.
        Nearhub.exit(withError: error)
    }
}

/// Which help explains the command that was mistyped: ArgumentParser says so in the last line of its message.
private func helpAdvice(_ error: any Error) -> String {
    let parts = Nearhub.fullMessage(for: error).split(separator: "'")
    let command = parts.last { $0.hasPrefix("nearhub") && $0.hasSuffix("help") } ?? "nearhub --help"
    return "see \"\(command)\""
}

/// The exit codes; from 64 on those of sysexits.h.
enum ExitStatus {
    static let done: Int32 = 0
    static let refused: Int32 = 1
    static let usage: Int32 = 64
    static let damaged: Int32 = 65
    static let inputOutput: Int32 = 74
    static let unavailable: Int32 = 75
    static let configuration: Int32 = 78
}
