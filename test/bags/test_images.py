import numpy as np
from bag_samples import TYPES, image
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.bags.images import image_to_rgb
from mambapose_ros.bags.message_types import IMAGE
from mambapose_ros.image_encoding import ImageError

IMAGE_BYTES = bytes(TYPES.write(image()))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 80), st.binary(min_size=1, max_size=8), st.integers(0, len(IMAGE_BYTES)))
def test_damaged_images_are_images_or_image_errors(place, damage, length):
    data = IMAGE_BYTES[:place] + damage + IMAGE_BYTES[place + len(damage) :]
    for damaged in (data, data[:length]):
        try:
            message = TYPES.read(damaged, IMAGE)
            if message.width * message.height < 10**6:
                assert image_to_rgb(message).dtype == np.uint8
        except ImageError:
            pass
