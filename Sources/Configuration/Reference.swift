extension Configuration {
    /// The text of etc/nearhub.conf: every key with its explanation, commented out at its default.
    public static var reference: String {
        var text = """
            # Configuration of nearhub. Every key stands here with its default; remove the # to change it.
            #
            # A line is a [section], a key = value, or a comment that begins with # or ;. A line that begins
            # with a blank continues the value above it. A line has 198 bytes at most, the file 64 KiB.
            # "nearhub check" reads this file and says what is wrong with it, and where.

            """
        var section = ""
        for key in ConfigurationKey.all {
            if key.section != section {
                section = key.section
                text += "\n[\(section)]\n"
            }
            text += "\n"
            for line in key.help { text += "# \(line)\n" }
            text += "#\(key.name) =\(key.fallback.isEmpty ? "" : " ")\(key.fallback)\n"
        }
        return text
    }
}
