"""ThingsBoard's device SDK over MQTT.

usage: sdk_mqtt.py PORT < {"provision_device_key", …}     the arguments of TBDeviceMqttClient.provision; prints what
                                                          it returns
"""

import json
import sys

from tb_device_mqtt import TBDeviceMqttClient

print(json.dumps(TBDeviceMqttClient.provision("127.0.0.1", port=int(sys.argv[1]), **json.load(sys.stdin))))
