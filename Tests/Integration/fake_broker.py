"""A server that says what a test tells it to, where a hub expects a broker.

    with FakeBroker(answer(CONNACK, b"rubbish")) as fake:
        hub = hubs(f"mqtt.url={fake.url}").start()
"""

import socket
import threading

MEBIBYTE = 1 << 20
CONNACK = bytes([0x20, 3, 0, 0, 0])  # MQTT 5, success, no properties


def answer(*data: bytes, flood: int = 0):
    """What a lying broker does with a connection: reads CONNECT, sends data, and perhaps many mebibytes more."""

    def lie(connection):
        connection.recv(65536)
        connection.sendall(b"".join(data))
        for _ in range(flood):
            connection.sendall(bytes(MEBIBYTE))
        connection.settimeout(0.3)
        try:
            while connection.recv(65536):
                pass
        except TimeoutError:
            pass

    return lie


class FakeBroker:
    """A TCP server that does the same to each connection, and counts them."""

    def __init__(self, behave):
        self.behave = behave
        self.connections = 0
        self.met, self.over = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.connections += 1
                self.met.set()
                try:
                    self.behave(connection)
                except OSError:
                    pass  # the hub closed it
                if self.connections >= 2:
                    self.over.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
