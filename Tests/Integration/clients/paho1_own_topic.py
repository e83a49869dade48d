"""paho-mqtt 1.6 that knows a topic of its own, MQTT 3.1.1 or 5.

usage: paho1_own_topic.py PORT 4|5 LEVEL < request.json     prints the answer
"""

import sys

import paho.mqtt.client as mqtt

port, version, level = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
request = sys.stdin.read()


def on_subscribe(client, *_):
    client.publish(f"/provision/request/{level}", request, 1)


def on_message(client, userdata, msg):
    print(msg.payload.decode())
    client.disconnect()


client = mqtt.Client(protocol=version)
client.on_connect = lambda client, *_: client.subscribe(f"/provision/response/{level}", 1)
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("127.0.0.1", port)
client.loop_forever()
