import JSON
import MQTTClient
import Provisioning
import Testing
import Upstream

@Suite("Dialect thingsboard: outcomes")
struct ThingsBoardOutcomeTests {
    /// A device whose request has been published.
    private func asked(_ credentials: Credentials? = nil, seq: UInt64 = 1) -> ThingsBoardPlay {
        let play = ThingsBoardPlay.connected()
        play.offer("a", credentials, seq: seq)
        return play
    }

    /// Lets the first session in again.
    private func reconnect(_ play: ThingsBoardPlay) {
        if play.connections[Channel(0)]?.isOpen != true { play.pass(.seconds(2)) }
        if play.connections[Channel(0)]?.isUp == false { play.tell(.connected(Channel(0))) }
    }

    // MARK: - FAILURE

    @Test func `FAILURE of a device whose credentials work there is a success`() throws {
        let play = asked()
        try play.answer(ThingsBoardPlay.failure)
        #expect(play.outcomes.isEmpty)
        #expect(play.test?.login?.username == "token-of-a")
        play.findThere()
        #expect(play.outcomes == ["a": .confirmed])
        #expect(play.test == nil)
    }

    @Test(arguments: [2, 4, 5, 0x85, 0x86, 0x87] as [UInt8])
    func `FAILURE of a device whose credentials do not work is a refusal`(code: UInt8) throws {
        let play = asked()
        try play.answer(ThingsBoardPlay.failure)
        play.lose(play.testChannel, .refused(code: code))
        #expect(play.outcomes == ["a": .refused(.failureUpstream)])
        reconnect(play)
        play.pass(.seconds(1000))
        #expect(play.published == 1, "asked again")
    }

    @Test func `FAILURE of a device that was told of before and has changed since cannot be mended from here`() throws {
        let play = ThingsBoardPlay.connected()
        play.cursor = 6
        play.offer("a", seq: 7)
        play.findNot()
        try play.answer(ThingsBoardPlay.failure)
        play.findNot()
        #expect(play.outcomes == ["a": .refused(.unsupportedByDialect)])
    }

    @Test func `a device that was told of before is asked for only if its credentials do not work there`() throws {
        let play = ThingsBoardPlay.connected { $0.rate = 1 }
        play.cursor = 6
        play.offer("a", seq: 7)
        play.findThere()
        #expect(play.outcomes == ["a": .confirmed] && play.published == 0)
        play.offer("b", seq: 8)
        #expect(play.test == nil, "faster than allowed")
        play.pass(.seconds(1))
        play.findNot()
        play.pass(.seconds(1))
        try play.confirm()
        #expect(play.outcomes["b"] == .confirmed)
    }

    @Test func `a test that finds nobody to ask says nothing, and is repeated`() throws {
        let play = asked()
        try play.answer(ThingsBoardPlay.failure)
        for cause in [MQTTLoss.Cause.address, .closed, .refused(code: 3), .tls] {
            play.lose(play.testChannel, cause)
            #expect(play.outcomes.isEmpty && play.test == nil)
            for _ in 0..<300 where play.test == nil { play.pass(.seconds(1)) }
            #expect(play.test?.login?.username == "token-of-a")
        }
        play.findNot()
        #expect(play.outcomes == ["a": .refused(.failureUpstream)])
    }

    @Test func `a test that hangs is given up, and repeated`() throws {
        let play = asked()
        try play.answer(ThingsBoardPlay.failure)
        let first = play.actions.count
        play.pass(.seconds(32))
        #expect(play.actions[first...].contains { if case .disconnect(play.testChannel) = $0 { true } else { false } })
        #expect(play.outcomes.isEmpty && play.test != nil)
    }

    @Test func `where strangers are let in, credentials that work prove nothing`() throws {
        let play = asked()
        try play.answer(ThingsBoardPlay.failure)
        play.tell(.connected(play.testChannel))
        let stranger = try #require(play.test?.login?.username)
        #expect(stranger.hasPrefix("nobody-"))
        play.tell(.connected(play.testChannel))
        #expect(play.outcomes == ["a": .refused(.needsCheck)])
    }

    @Test func `strangers are tried once, not for each device`() throws {
        let play = ThingsBoardPlay.connected()
        for name in ["a", "b", "c"] {
            play.offer(name)
            reconnect(play)
            try play.answer(ThingsBoardPlay.failure)
            play.findThere()
        }
        #expect(play.outcomes == ["a": .confirmed, "b": .confirmed, "c": .confirmed])
        let tests = play.actions.filter { if case .connect(play.testChannel, _) = $0 { true } else { false } }
        #expect(tests.count == 4)
    }

    @Test func `a certificate, and a device that would be taken for one that provisions itself, cannot be tested`()
        throws
    {
        let basic = try #require(Credentials.mqttBasic(clientId: "provision", userName: "u", password: ""))
        for credentials in [ThingsBoardPlay.certificate, ThingsBoardPlay.token("provision"), basic] {
            let play = asked(credentials)
            try play.answer(ThingsBoardPlay.failure)
            #expect(play.outcomes == ["a": .refused(.needsCheck)])
        }
    }

    @Test func `MQTT_BASIC is tested with all it has`() throws {
        for (clientId, userName, password) in [("c", "u", "p"), ("", "u", "p"), ("c", "", "")] {
            let credentials = try #require(
                Credentials.mqttBasic(clientId: Text(clientId), userName: Text(userName), password: Text(password)))
            let play = asked(credentials)
            try play.answer(ThingsBoardPlay.failure)
            let test = try #require(play.test)
            #expect(test.clientId == (clientId.isEmpty ? "nearhub-0123456789abcdef-check" : clientId))
            #expect(test.login?.username ?? "" == userName)
        }
    }

    // MARK: - Other credentials

    @Test func `other credentials upstream are a conflict, unless its own work too`() throws {
        let conflict = asked()
        try conflict.answer(ThingsBoardPlay.success("theirs"))
        #expect(conflict.outcomes.isEmpty)
        conflict.findNot()
        #expect(conflict.outcomes == ["a": .conflict(ThingsBoardPlay.token("theirs"))])
        let copy = asked()
        try copy.answer(ThingsBoardPlay.success("theirs"))
        copy.findThere()
        #expect(copy.outcomes == ["a": .confirmed])
    }

    // MARK: - No answer

    @Test func `after 15 seconds the session is dropped, not the request`() throws {
        let play = asked()
        play.pass(.seconds(14))
        #expect(play.test == nil)
        play.pass(.seconds(1))
        #expect(play.test != nil && play.connections[Channel(0)]?.isUp == false)
        // Too late: whatever still comes on that channel is not for the next request.
        play.findNot()
        reconnect(play)
        #expect(play.published == 2)
        try play.confirm()
        #expect(play.outcomes == ["a": .confirmed])
    }

    @Test func `a device that had arrived although its answer was lost is not asked for again`() throws {
        for lose in [{ $0.lose() }, { $0.pass(.seconds(15)) }, { $0.send("?") }] as [(ThingsBoardPlay) -> Void] {
            let play = asked()
            try play.acknowledge()
            lose(play)
            play.findThere()
            reconnect(play)
            #expect(play.outcomes == ["a": .confirmed])
            #expect(play.published == 1)
        }
    }

    @Test(arguments: [
        "", "?", "[]", "{}", #"{"status":"MAYBE"}"#, #"{"status":"SUCCESS"}"#, #"{"status":7}"#,
        #"{"status":"SUCCESS","credentialsType":"ACCESS_TOKEN","credentialsValue":{}}"#,
        #"{"provisionDeviceStatus":"SUCCESS"}"#,
    ])
    func `an answer that cannot be read is none`(answer: String) throws {
        let play = asked()
        try play.answer(answer)
        #expect(play.outcomes.isEmpty && play.connections[Channel(0)]?.isUp == false)
        play.findNot()
        reconnect(play)
        try play.confirm()
        #expect(play.outcomes == ["a": .confirmed])
    }

    @Test func `a certificate whose answer was lost is asked for again`() throws {
        let play = asked(ThingsBoardPlay.certificate)
        play.lose()
        reconnect(play)
        #expect(play.published == 2)
        try play.answer(ThingsBoardPlay.failure)
        #expect(play.outcomes == ["a": .refused(.needsCheck)])
    }

    @Test func `a device that is never answered while others are is put off, and refused by nobody`() throws {
        let play = asked()
        var others = 0
        for _ in 0..<200 where play.unanswered["a"] == nil {
            reconnect(play)
            guard let request = play.requests[Channel(0)] else {
                play.pass(.seconds(1))
                continue
            }
            if isOfA(request.payload) {
                play.lose()
                play.findNot()
                others += 1
                if others < 4 { play.offer("b\(others)") }
            } else {
                try play.confirm()
            }
        }
        #expect(play.unanswered == ["a": 1])
        #expect(play.outcomes == ["b1": .confirmed, "b2": .confirmed, "b3": .confirmed])
        // From then on it costs one request at a time, and the next one comes later each time.
        for number in 1...5 {
            let before = play.published
            play.offerAgain("a")
            reconnect(play)
            play.lose()
            play.offer("c\(number)")
            reconnect(play)
            try play.confirm()
            if play.test == nil { play.pass(.seconds(1)) }
            play.findNot()
            #expect(play.published - before == 2 && play.unanswered["a"] == number + 1)
        }
        #expect(play.rests == [22.5, 45, 90, 180, 225, 225].map { Duration.seconds($0) })
        // And when it is answered at last, all is well.
        play.offerAgain("a")
        for _ in 0..<100 where play.requests[Channel(0)].map({ !isOfA($0.payload) }) ?? true {
            reconnect(play)
            if play.requests[Channel(0)].map({ !isOfA($0.payload) }) == true { try play.confirm() }
            play.pass(.seconds(1))
        }
        try play.confirm()
        #expect(play.outcomes["a"] == .confirmed)
    }

    private func isOfA(_ payload: [UInt8]) -> Bool { String(decoding: payload, as: UTF8.self).contains("up-a\"") }

    @Test func `one whose test never comes to anything holds up no other's`() throws {
        let play = ThingsBoardPlay.connected()
        for name in ["a", "b", "c"] {
            play.offer(name)
            reconnect(play)
            try play.answer(ThingsBoardPlay.failure)
        }
        for _ in 0..<500 where play.outcomes.count < 2 || play.unanswered.isEmpty {
            switch play.test?.login?.username {
            case "token-of-a": play.lose(play.testChannel)
            case .some: play.findThere()
            case nil: play.pass(.seconds(1))
            }
        }
        #expect(play.outcomes == ["b": .confirmed, "c": .confirmed])
        #expect(play.unanswered == ["a": 1])
    }

    /// Nobody could be answered any more, once as many as are held at a time had never been.
    @Test func `devices that are never answered make room for others`() throws {
        let play = ThingsBoardPlay.connected()
        for number in 0..<4 { play.offer("lost\(number)") }
        #expect(play.room == 0)
        for _ in 0..<300 where play.room == 0 {
            reconnect(play)
            if play.requests[Channel(0)] != nil { play.lose() }
            if play.test != nil { play.findNot() }
            play.pass(.seconds(1))
        }
        #expect(play.room > 0 && play.outcomes.isEmpty)
        // While nobody is answered at all, the wait does not grow.
        for _ in 0..<3 {
            for (name, _) in play.unanswered where play.room > 0 { play.offerAgain(name) }
            for _ in 0..<20 {
                reconnect(play)
                if play.requests[Channel(0)] != nil { play.lose() }
                if play.test != nil { play.findNot() }
                play.pass(.seconds(1))
            }
        }
        #expect(play.rests.count > 6 && play.rests.allSatisfy { $0 == .seconds(22.5) })
        #expect(play.outcomes.isEmpty)
    }

    @Test func `one whose test came to nothing is tested before it is asked for again`() throws {
        let play = asked()
        play.lose()
        play.findNot()
        reconnect(play)
        #expect(play.published == 2)
        play.lose(Channel(0), .silence)
        for _ in 0..<500 where play.unanswered.isEmpty {
            if play.test != nil { play.lose(play.testChannel, .silence) } else { play.pass(.seconds(1)) }
        }
        #expect(play.unanswered == ["a": 1])
        play.pass(.seconds(400))
        play.tell(.connected(Channel(0)))
        play.offerAgain("a")
        #expect(play.published == 2 && play.test?.login?.username == "token-of-a")
        play.findThere()
        #expect(play.outcomes == ["a": .confirmed] && play.published == 2)
    }

    @Test func `a request that the server does not take is a refusal`() throws {
        let play = asked()
        let receipt = try #require(play.requests[Channel(0)]?.receipt)
        play.tell(.acknowledged(Channel(0), receipt, code: 0x90, reason: "Topic Name invalid"))
        #expect(play.outcomes == ["a": .refused(.notAccepted)])
        #expect(play.test == nil)
    }

    // MARK: - Outages

    /// They kept what they had been when the link broke: upstream got credentials that had been replaced since.
    @Test func `what could not be asked for over an outage is asked for as it is afterwards`() throws {
        let play = ThingsBoardPlay.connected()
        for name in ["a", "b", "c"] { play.offer(name) }
        try play.confirm()
        play.lose(Channel(0), .silence)
        #expect(play.released == ["c"], "what was in flight must be tested, the rest must come again")
        play.change("b", ThingsBoardPlay.token("new-of-b"), seq: 5)
        play.change("c", ThingsBoardPlay.token("new-of-c"), seq: 6)
        play.pass(.seconds(10))
        #expect(play.test?.login?.username == "token-of-b", "the answer that was lost was for these credentials")
        play.tell(.connected(Channel(0)))
        var tokens: [String] = [try token(play)]
        try play.confirm()
        play.findNot()
        reconnect(play)
        tokens.append(try token(play))
        try play.confirm()
        #expect(tokens == ["new-of-c", "new-of-b"])
        #expect(play.outcomes == ["a": .confirmed, "b": .confirmed, "c": .confirmed])
    }

    private func token(_ play: ThingsBoardPlay) throws -> String {
        let request = try #require(play.requests[Channel(0)])
        return try #require(JSONValue.parse(request.payload)["token"]?.text?.description)
    }

    @Test func `after NOT_FOUND devices are asked for as they are by then`() throws {
        let play = ThingsBoardPlay.connected()
        for name in ["a", "b"] { play.offer(name) }
        try play.answer(ThingsBoardPlay.notFound)
        #expect(Set(play.released) == ["a", "b"])
        for name in ["a", "b"] { play.change(name, ThingsBoardPlay.token("new-of-\(name)"), seq: 5) }
        play.tell(.resume)
        play.tell(.connected(Channel(0)))
        for _ in 0..<2 {
            #expect(try token(play).hasPrefix("new-of-"))
            try play.confirm()
        }
        #expect(play.outcomes == ["a": .confirmed, "b": .confirmed])
    }

    // MARK: - Renamed devices

    /// Its credentials work there, so it looked confirmed: by its old name.
    @Test func `a device that was renamed is refused, since upstream cannot be told`() throws {
        let play = ThingsBoardPlay.connected()
        play.cursor = 6
        play.offer("b", seq: 7, formerName: "up-a")
        play.findThere()
        #expect(play.outcomes == ["b": .refused(.unsupportedByDialect)] && play.published == 0)
        // By the name that upstream knows all is well.
        play.offer("c", seq: 8, formerName: "up-c")
        play.findThere()
        #expect(play.outcomes["c"] == .confirmed)
        // Upstream was not told of it after all, or has forgotten it.
        play.offer("d", seq: 9, formerName: "up-e")
        play.findNot()
        try play.confirm()
        #expect(play.outcomes["d"] == .confirmed)
    }

    // MARK: - Answers that belong to no request

    @Test func `copies and late answers are never taken for the next request's`() throws {
        let play = ThingsBoardPlay.connected()
        play.offer("a")
        play.offer("b")
        try play.confirm()
        // Before PUBACK nothing else than the right credentials can be an answer.
        for stray in [ThingsBoardPlay.success("token-of-a"), ThingsBoardPlay.failure, ThingsBoardPlay.notFound, "?"] {
            play.send(stray)
        }
        try play.acknowledge()
        play.send(ThingsBoardPlay.success("token-of-a"))
        #expect(play.outcomes == ["a": .confirmed] && play.state == .connected)
        try play.confirm()
        #expect(play.outcomes == ["a": .confirmed, "b": .confirmed])
        play.send(ThingsBoardPlay.success("token-of-b"))
        play.send(ThingsBoardPlay.failure)
        #expect(play.outcomes.count == 2)
    }

    @Test func `after FAILURE the session is left, so that no copy of it meets another request`() throws {
        let play = ThingsBoardPlay.connected()
        play.offer("a")
        play.offer("b")
        try play.answer(ThingsBoardPlay.failure)
        #expect(play.connections[Channel(0)]?.isUp == false)
        play.send(ThingsBoardPlay.failure)
        play.findNot()
        play.tell(.connected(Channel(0)))
        try play.confirm()
        #expect(play.outcomes == ["a": .refused(.failureUpstream), "b": .confirmed])
    }

    @Test func `retained messages and other topics are no answers`() throws {
        let play = asked()
        try play.acknowledge()
        let payload = Array(ThingsBoardPlay.notFound.utf8)
        for (topic, isRetained) in [("/provision/response", true), ("provision/response", false)] {
            let message = MQTTMessage(
                topic: topic, payload: payload, qos: 1, isRetained: isRetained
            )
            play.tell(.message(Channel(0), message))
        }
        #expect(play.state == .connected)
    }

    // MARK: - NOT_FOUND

    @Test func `NOT_FOUND stops the queue, and nothing is lost`() throws {
        let play = ThingsBoardPlay.connected()
        play.offer("a")
        play.offer("b")
        try play.answer(ThingsBoardPlay.notFound)
        guard case .stopped(let reason) = play.state else { return #expect(Bool(false), "not stopped") }
        #expect(reason.contains("NOT_FOUND") && reason.contains("meters"))
        #expect(play.room == 0 && play.outcomes.isEmpty && play.published == 1)
        play.pass(.seconds(10))
        #expect(play.published == 1)
        play.tell(.resume)
        play.tell(.connected(Channel(0)))
        try play.confirm()
        try play.confirm()
        #expect(play.outcomes == ["a": .confirmed, "b": .confirmed])
    }

    @Test func `it tries again by itself, from half a minute to five minutes apart`() throws {
        let play = asked()
        var waits: [Duration] = []
        for _ in 0..<7 {
            try play.answer(ThingsBoardPlay.notFound)
            let stopped = play.now
            while play.requests.isEmpty { play.pass(.seconds(1)); reconnectAtOnce(play) }
            waits.append(play.now - stopped)
        }
        #expect(waits == waits.sorted())
        #expect(waits.first.map { $0 >= .seconds(15) } == true)
        #expect(waits.last.map { $0 >= .seconds(150) && $0 <= .seconds(302) } == true)
        #expect(play.outcomes.isEmpty)
    }

    private func reconnectAtOnce(_ play: ThingsBoardPlay) {
        let connection = play.connections[Channel(0)]
        if connection?.isOpen == true, connection?.isUp == false { play.tell(.connected(Channel(0))) }
    }
}
