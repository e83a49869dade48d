/// One JSON value (RFC 8259), as a tree.
public enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// A number without fraction or exponent, in the range of 64 bits.
    case integer(Int64)
    /// Any other number.
    case real(Double)
    case text(Text)
    case array([JSONValue])
    case object(JSONObject)

    /// The members, if this is an object.
    public var object: JSONObject? {
        if case .object(let object) = self { object } else { nil }
    }

    /// The elements, if this is an array.
    public var array: [JSONValue]? {
        if case .array(let array) = self { array } else { nil }
    }

    /// The text, if this is a string.
    public var text: Text? {
        if case .text(let text) = self { text } else { nil }
    }

    /// The number, if this is an integer.
    public var integer: Int64? {
        if case .integer(let integer) = self { integer } else { nil }
    }

    /// The integer, if it is one and not negative.
    public var unsigned: UInt64? { integer.flatMap(UInt64.init(exactly:)) }

    /// The truth value, if this is one.
    public var bool: Bool? {
        if case .bool(let bool) = self { bool } else { nil }
    }

    /// The member of an object; nil for anything else, and for a member that is absent.
    public subscript(name: Text) -> JSONValue? { object?[name] }
}

/// The members of a JSON object, in the order of their first appearance; of duplicates the last value stands.
public struct JSONObject: Hashable, Sendable {
    /// One name with its value.
    public struct Member: Hashable, Sendable {
        /// The member's name, unescaped.
        public let name: Text
        /// The member's value.
        public var value: JSONValue

        /// A member of the given name and value.
        public init(name: Text, value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// All members.
    public private(set) var members: [Member]

    /// An object of the given members, whose names must differ.
    public init(_ members: [Member] = []) {
        self.members = members
    }

    /// The value of a member; nil when it is absent.
    ///
    /// Setting nil removes it, setting a new one appends it.
    public subscript(name: Text) -> JSONValue? {
        get { members.first { $0.name == name }?.value }
        set {
            let index = members.firstIndex { $0.name == name }
            switch (index, newValue) {
            case (let index?, let value?): members[index].value = value
            case (let index?, nil): members.remove(at: index)
            case (nil, let value?): members.append(Member(name: name, value: value))
            case (nil, nil): break
            }
        }
    }
}
