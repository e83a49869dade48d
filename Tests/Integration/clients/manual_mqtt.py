"""ThingsBoard's manual over MQTT: publish at once, subscribe in on_connect, then loop; any paho-mqtt.

usage: manual_mqtt.py PORT < request.json     prints the first answer; as the manual has it, the request may be sent
                                              before the subscription
"""

import json
import sys

import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, rc):
    client.subscribe("/provision/response")


def on_message(client, userdata, msg):
    print(msg.payload.decode())
    client.disconnect()


to_publish = json.load(sys.stdin)
versions = getattr(mqtt, "CallbackAPIVersion", None)  # paho-mqtt 2 wants to be told
client = mqtt.Client(versions.VERSION1) if versions else mqtt.Client()
client.on_connect = on_connect
client.on_message = on_message
client.username_pw_set("provision", "")
client.connect("127.0.0.1", int(sys.argv[1]), 60)
client.publish("/provision/request", json.dumps(to_publish))
client.loop_forever()
