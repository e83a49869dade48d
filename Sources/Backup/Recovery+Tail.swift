internal import EventLoop
internal import Glibc
internal import Journal

extension Recovery {
    /// Where whole lines begin that are none, behind the last good one; nil when there is at most the beginning of one.
    ///
    /// A copy of a running hub's log may end in the middle of a line. Lines that end and are damaged come from a power
    /// cut, or, in an archive, which has none of them, from damage of the archive.
    func brokenLines() throws(SystemError) -> UInt64? {
        guard let torn else { return nil }
        let end = try ByteFile(file, O_RDONLY).wholeLines(in: torn.offset + torn.length)
        return end > torn.offset ? torn.offset : nil
    }
}
